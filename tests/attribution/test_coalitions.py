"""Games with known answers, and the sampled fit against the exact formula and other libraries."""

import math

import numpy as np
import pytest
import shap
import torch
from captum.attr import KernelShap as CaptumKernelShap
from hypothesis import given, settings
from hypothesis import strategies as st

from agg2exp_core.attribution.coalitions import (
    all_coalitions,
    distinct,
    fit,
    sample_pairs,
    shapley_values,
)
from agg2exp_core.errors import UsageError
from tests.reference.shapley import shapley


def game(n_players, seed=0, n_outputs=3, interaction=1.0):
    """A random game: additive, plus products of neighbours, plus a number for each coalition."""
    random = np.random.default_rng(seed)
    single, pair = random.normal(size=(2, n_players, n_outputs))
    lookup = random.normal(size=(2**n_players, n_outputs))

    def value(coalitions):
        on = np.asarray(coalitions, float)
        row = (on @ 2.0 ** np.arange(n_players)).astype(int)
        return on @ single + interaction * ((on * np.roll(on, 1, axis=1)) @ pair + 0.3 * lookup[row])

    return value


def by_formula(value, n_players):
    rows = all_coalitions(n_players)
    as_sets = {frozenset(np.flatnonzero(row).tolist()): v for row, v in zip(rows, value(rows), strict=True)}
    phi = shapley(as_sets, range(n_players))
    return np.array([phi[i] for i in range(n_players)])


@pytest.mark.parametrize("n_players", [1, 2, 3, 7])
def test_the_exact_values_are_those_of_the_formula(n_players):
    value = game(n_players)
    expected = by_formula(value, n_players)
    np.testing.assert_allclose(shapley_values(value(all_coalitions(n_players))), expected, atol=1e-12)


def test_games_with_known_answers():
    glove = all_coalitions(3)  # one left glove, two right ones: a pair is worth 1
    worth = (glove[:, 0] & (glove[:, 1] | glove[:, 2])).astype(float)[:, None]
    np.testing.assert_allclose(shapley_values(worth)[:, 0], [4 / 6, 1 / 6, 1 / 6], atol=1e-15)
    airport = all_coalitions(3)  # a runway for the largest: 1, 2, 3
    worth = (airport * [1.0, 2.0, 3.0]).max(axis=1)[:, None]
    np.testing.assert_allclose(shapley_values(worth)[:, 0], [1 / 3, 5 / 6, 11 / 6], atol=1e-15)


@pytest.mark.parametrize("n_players", [1, 2, 3, 4, 5, 8])
def test_all_coalitions_fit_to_the_exact_values(n_players):
    value = game(n_players)
    sample = sample_pairs(n_players, max(2**n_players - 2, 2), 0.0)
    assert sample.complete
    assert len(distinct(sample.to_evaluate)[0]) == 2**n_players
    phi, variance = fit(sample, value(sample.to_evaluate), 0.0)
    np.testing.assert_allclose(phi, by_formula(value, n_players), atol=1e-12)
    assert not variance.any()


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 24), st.integers(0, 400), st.integers(0, 5))
def test_a_sample_keeps_its_budget_and_the_kernels_mass(n_players, extra, seed):
    n_samples = 4 * n_players + extra
    sample = sample_pairs(n_players, n_samples, 0.0, seed)
    sizes = sample.coalitions.sum(axis=1)
    assert 2 * len(sizes) <= n_samples + 2
    assert ((sizes > 0) & (sizes < n_players)).all()
    assert sample.weights.sum() == pytest.approx(1)
    whole = sample.coalitions[: sample.n_complete]
    both = np.concatenate([whole, ~whole])
    assert len(distinct(both)[0]) == len(both)
    for size in set(both.sum(axis=1).tolist()):  # Shapley's kernel, on what was taken whole
        kernel = (n_players - 1) / (math.comb(n_players, size) * size * (n_players - size))
        of_size = np.minimum(sizes, n_players - sizes)[: sample.n_complete] == min(size, n_players - size)
        total = sum((n_players - 1) / (s * (n_players - s)) for s in range(1, n_players))
        np.testing.assert_allclose(sample.weights[: sample.n_complete][of_size], 2 * kernel / total)


def test_a_sample_is_a_function_of_its_address():
    first, again = (sample_pairs(20, 200, 0.0, 0, "scan") for _ in range(2))
    assert first.coalitions.tobytes() == again.coalitions.tobytes()
    for other in [(1, "scan"), (0, "other")]:
        assert (sample_pairs(20, 200, 0.0, *other).coalitions != first.coalitions).any()


def test_the_fit_of_an_additive_game_is_exact_and_says_so():
    value = game(12, interaction=0)
    sample = sample_pairs(12, 100, 0.0)
    assert not sample.complete
    phi, variance = fit(sample, value(sample.to_evaluate), 0.0)
    np.testing.assert_allclose(phi, value(np.eye(12)) - value(np.zeros((1, 12))), atol=1e-12)
    assert variance.max() < 1e-24


@pytest.mark.parametrize(("n_players", "n_samples"), [(10, 60), (10, 300), (12, 200)])
def test_the_fit_converges_and_its_standard_error_is_honest(n_players, n_samples):
    value = game(n_players)
    exact = by_formula(value, n_players)
    fits = []
    for seed in range(300):
        sample = sample_pairs(n_players, n_samples, 0.0, seed)
        fits.append(fit(sample, value(sample.to_evaluate), 0.0))
    phi, variance = (np.stack(part) for part in zip(*fits, strict=True))
    spread = phi.std(axis=0)
    bias = phi.mean(axis=0) - exact
    assert (np.abs(bias) < 0.5 * spread).all()  # of the order 1 / n_samples
    ratio = np.sqrt(variance.mean(axis=0).sum() / (spread**2).sum())
    assert 0.85 < ratio < 1.25
    covered = (np.abs(phi - exact) < 2 * np.sqrt(variance)).mean()
    assert covered > 0.9
    rise = value(np.ones((1, n_players))) - value(np.zeros((1, n_players)))
    np.testing.assert_allclose(phi.sum(axis=1), np.broadcast_to(rise, phi[:, 0].shape), atol=1e-9)


def test_more_samples_less_error():
    value = game(12)
    exact = by_formula(value, 12)

    def error(n_samples):
        samples = [sample_pairs(12, n_samples, 0.0, seed) for seed in range(30)]
        return np.mean([np.abs(fit(s, value(s.to_evaluate), 0.0)[0] - exact).mean() for s in samples])

    assert error(800) < 0.6 * error(100)


def test_a_ridge_draws_values_together_and_keeps_their_sum():
    value = game(8)
    sample = sample_pairs(8, 100, 1e-2)
    plain, ridged, flat = (fit(sample, value(sample.to_evaluate), ridge)[0] for ridge in (0, 1e-2, 1e6))
    assert ridged.std() < plain.std()
    np.testing.assert_allclose(flat, np.broadcast_to(plain.mean(axis=0), flat.shape), atol=1e-4)
    np.testing.assert_allclose(ridged.sum(axis=0), plain.sum(axis=0), atol=1e-12)


def test_a_ridge_is_the_penalty_of_the_weighted_least_squares():
    n_players, ridge = 6, 0.05
    value = game(n_players, n_outputs=1)
    sample = sample_pairs(n_players, 2**n_players - 2, ridge)
    phi = fit(sample, value(sample.to_evaluate), ridge)[0][:, 0]
    z = all_coalitions(n_players)[1:-1]
    weight = np.repeat(sample.weights / 2, 2)
    z = np.stack([sample.coalitions, ~sample.coalitions], axis=1).reshape(-1, n_players)
    y = (value(z) - value(np.zeros((1, n_players))))[:, 0]

    def loss(phi):
        return (weight * (y - z @ phi) ** 2).sum() + ridge * (phi**2).sum()

    random = np.random.default_rng(0)
    for _ in range(50):
        step = random.normal(size=n_players) * 1e-3
        assert loss(phi) < loss(phi + step - step.mean())


def test_fewer_samples_than_the_players_need_are_refused():
    with pytest.raises(UsageError, match="80 or more"):
        sample_pairs(20, 60, 0.0)
    phi, variance = fit(sample_pairs(20, 30, 0.01), np.zeros((32, 1)), 0.01)
    assert not phi.any()
    assert not variance.any()


@pytest.mark.parametrize(("n_players", "n_samples"), [(5, 30), (11, 400)])
def test_shap_agrees(n_players, n_samples):
    value = game(n_players, n_outputs=1)
    explainer = shap.KernelExplainer(lambda x: value(x)[:, 0], np.zeros((1, n_players)))
    oracle = explainer.shap_values(np.ones((1, n_players)), nsamples=n_samples, l1_reg=0, silent=True)[0]
    sample = sample_pairs(n_players, n_samples, 0.0)
    phi, variance = fit(sample, value(sample.to_evaluate), 0.0)
    # both exact, or each with a standard error of about ours
    assert (np.abs(phi[:, 0] - oracle) <= 1e-9 + 5 * np.sqrt(2 * variance[:, 0])).all()


def test_captum_agrees():
    value = game(5, n_outputs=1)
    torch.manual_seed(0)
    np.random.seed(0)  # Captum draws from the global states
    oracle = CaptumKernelShap(lambda x: torch.from_numpy(value(x.numpy())[:, 0]))
    expected = oracle.attribute(torch.ones(1, 5, dtype=torch.float64), n_samples=4000)[0].numpy()
    np.testing.assert_allclose(
        shapley_values(value(all_coalitions(5)))[:, 0], expected, atol=0.1 * np.abs(expected).max()
    )
