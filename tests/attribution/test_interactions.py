"""Interactions of players: equal to the formula, over one game and over the whole scan."""

from itertools import combinations

import numpy as np
import pytest

from agg2exp_core.attribution import attribute
from agg2exp_core.attribution.coalitions import all_coalitions, fit, sample_pairs
from agg2exp_core.attribution.interactions import interaction_indices, sampled_indices
from tests.attribution.test_coalitions import game
from tests.attribution.test_shapley import brute_force, settings_of
from tests.networks import CLASS_NAMES
from tests.reference import shapley as twin


def by_formula(value, n_players):
    rows = all_coalitions(n_players)
    as_sets = {frozenset(np.flatnonzero(row).tolist()): v for row, v in zip(rows, value(rows), strict=True)}
    return twin.interactions(as_sets, range(n_players))


@pytest.mark.parametrize("n_players", [1, 2, 3, 7])
def test_equal_to_the_formula(n_players):
    value, rows = game(n_players), all_coalitions(n_players)
    found = interaction_indices(rows, value(rows))
    assert found.shape == (n_players, n_players, 3)
    np.testing.assert_allclose(found, found.swapaxes(0, 1), atol=1e-12)
    for (i, j), expected in by_formula(value, n_players).items():
        np.testing.assert_allclose(found[i, j], expected, atol=1e-12)


def test_games_with_known_answers():
    rows = all_coalitions(3)
    product = (rows[:, 0] & rows[:, 1]).astype(float)
    either = (rows[:, 0] | rows[:, 1]).astype(float)
    found = interaction_indices(rows, np.stack([product, either, rows @ [1.0, 2.0, 3.0]], axis=1))
    np.testing.assert_allclose(found[0, 1], [1, -1, 0], atol=1e-15)  # need, stand in for, ignore each other
    np.testing.assert_allclose(found[[0, 1], 2], 0, atol=1e-15)


def test_crowded_windows_are_left_out_by_number(monkeypatch):
    monkeypatch.setattr("agg2exp_core.attribution.shapley.MOST_PAIRED_PLAYERS", 2)
    model, image, _, _ = brute_force((13, 9, 10), "gaussian", "cubes")
    params = {"cube_side": 7, "max_exact_players": 2, "n_samples": 60}
    told = next(attribute(model, image, "shapley_cubes", **params)).info["interactions"]
    assert told["n_windows_left_out"] > 0


def test_estimates_are_unbiased_and_lie_within_their_standard_errors():
    n_players, value = 9, game(9, interaction=0.5)
    expected = by_formula(value, n_players)
    errors, claimed = [], []
    for seed in range(60):
        sample = sample_pairs(n_players, 120, 0.0, seed)
        values = value(sample.to_evaluate)
        phi, _ = fit(sample, values, 0.0)
        found, variances = sampled_indices(sample, values, phi)
        errors.append([found[i, j] - expected[i, j] for i, j in combinations(range(n_players), 2)])
        claimed.append([variances[i, j] for i, j in combinations(range(n_players), 2)])
    errors, claimed = np.array(errors), np.array(claimed)  # [seeds, pairs, L]
    z = errors.mean(axis=0) / (errors.std(axis=0, ddof=1) / 60**0.5)
    assert np.abs(z).mean() < 1.2
    assert 0.8 < np.sqrt(claimed.mean() / (errors**2).mean()) < 1.25


def test_a_complete_sample_is_exact():
    n_players, value = 6, game(6)
    sample = sample_pairs(n_players, 62, 0.0)
    assert sample.complete
    values = value(sample.to_evaluate)
    found, variances = sampled_indices(sample, values, fit(sample, values, 0.0)[0])
    assert not variances.any()
    for (i, j), expected in by_formula(value, n_players).items():
        np.testing.assert_allclose(found[i, j], expected, atol=1e-12)


@pytest.mark.parametrize("aggregation", ["sum", "margin"])
@pytest.mark.parametrize("kind", ["cubes", "semantic"])
@pytest.mark.parametrize("shape", [(13, 9, 10), (5, 12, 8)])
def test_equal_to_all_coalitions_of_the_whole_scan(shape, kind, aggregation):
    model, image, supervoxels, logits = brute_force(shape, "gaussian", kind)
    every = twin.scan_values(
        model, image, 0 * image, supervoxels, aggregation, None, logits, solve=twin.interactions
    )
    peak = max(np.abs(values).max() for values in every.values())
    params = {"aggregation": aggregation} | settings_of(shape, kind)
    for item in attribute(model, image, f"shapley_{kind}", **params):
        told = item.info["interactions"]
        c = CLASS_NAMES.index(item.class_name)
        found = dict(zip(zip(told["first"], told["second"], strict=True), told["index"], strict=True))
        assert set(found) <= set(every)
        assert not any(told["standard_error"])
        for pair, values in every.items():
            assert found.get(pair, 0.0) == pytest.approx(values[c], rel=0, abs=1e-10 * peak)
