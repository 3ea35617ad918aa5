"""KernelSHAP over the whole scan: against exact values, and no window evaluated twice."""

import numpy as np
import pytest
import torch
from captum.attr import KernelShap as CaptumKernelShap

from agg2exp_core.attribution import attribute
from agg2exp_core.prediction import predict
from agg2exp_core.types import Scan
from tests.attribution.test_shapley import Counter, brute_force, n_coalitions, on_voxels
from tests.networks import CLASS_NAMES, random_image, smooth_model
from tests.reference import shapley as twin
from tests.reference.attributions import f_hat


@pytest.mark.parametrize("blend", ["constant", "gaussian"])
@pytest.mark.parametrize("aggregation", ["mean", "margin"])
@pytest.mark.parametrize("kind", ["cubes", "semantic"])
def test_all_coalitions_give_the_exact_values(kind, aggregation, blend):
    shape, side = (13, 9, 10), 7
    model, image, supervoxels, logits = brute_force(shape, blend, kind)
    phi = twin.scan_values(model, image, None, supervoxels, aggregation, logits=logits)
    params = {"cube_side": side, "n_samples": 254} if kind == "cubes" else {}
    for item in attribute(model, image, f"kernelshap_{kind}", aggregation=aggregation, **params):
        expected = on_voxels(phi, supervoxels, CLASS_NAMES.index(item.class_name))
        np.testing.assert_allclose(item.values, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
        assert item.info["exact_mass_share"] == 1


def test_no_masked_window_is_evaluated_twice():
    model = smooth_model(overlap=0.25)
    image = random_image(1, 13, 9, 17)
    prediction = predict(model, image)
    counter = Counter(model)
    items = list(attribute(model, image, "kernelshap_cubes", prediction=prediction, cube_side=7))
    counts = n_coalitions(model, (13, 9, 17), 7)
    n_players = 2 * 2 * 3
    assert max(counts) < 1000 < 2**n_players
    assert counter.n <= sum(counts) - (len(counts) - 1) < 1002 * len(counts)
    assert {item.info["n_window_passes"] for item in items} == {counter.n}


def test_estimates_lie_within_their_standard_errors():
    model = smooth_model(overlap=0.25)
    image = random_image(1, 13, 9, 17)
    prediction = predict(model, image)
    params = {"prediction": prediction, "cube_side": 7}
    exact = list(attribute(model, image, "shapley_cubes", max_exact_players=12, **params))
    ids = twin.cubes((13, 9, 17), 7)
    found, claimed = [], []
    for seed in range(12):
        for item, true in zip(
            attribute(model, image, "kernelshap_cubes", seed=seed, n_samples=80, **params), exact, strict=True
        ):
            values, expected = (np.bincount(ids.ravel(), v.values.ravel()) for v in (item, true))
            found.append(((values - expected) ** 2).sum() / (expected**2).sum())
            claimed.append(item.info["relative_standard_error"] ** 2)
            assert item.info["exact_mass_share"] == 0
    assert 0.6 < np.sqrt(np.mean(claimed) / np.mean(found)) < 1.6


def test_the_sample_is_a_function_of_seed_scan_and_players():
    model = smooth_model(overlap=0.25, dtype=torch.float32)
    image = random_image(1, 13, 9, 17, dtype=torch.float32)

    def explain(scan_id, seed, aggregation="sum"):
        scan = Scan(scan_id, image, np.eye(4), None, "")
        params = {"cube_side": 6, "n_samples": 80, "aggregation": aggregation}
        return next(attribute(model, scan, "kernelshap_cubes", seed=seed, **params))

    assert explain("a", 0).values.tobytes() == explain("a", 0).values.tobytes()
    assert len({explain(scan, seed).values.tobytes() for scan, seed in [("a", 0), ("b", 0), ("a", 1)]}) == 3
    total, mean = explain("a", 0), explain("a", 0, "mean")  # the same coalitions: the same up to a factor
    factor = mean.info["output_difference"] / total.info["output_difference"]
    np.testing.assert_allclose(
        mean.values, total.values * factor, rtol=0, atol=1e-5 * np.abs(mean.values).max()
    )


def test_captum_agrees():
    """Captum's values, one class at a time through the stitched model, draw near the exact ones."""
    model, image, supervoxels, _ = brute_force((5, 12, 8), "constant", "cubes")
    for item in attribute(model, image, "kernelshap_cubes", ["left", "right"], cube_side=5, spread="repeat"):
        c = CLASS_NAMES.index(item.class_name)
        torch.manual_seed(0)
        oracle = CaptumKernelShap(lambda x, c=c: f_hat(model, x[0], image, c, "sum").detach()[None])
        expected = oracle.attribute(
            image[None], feature_mask=torch.from_numpy(supervoxels)[None, None], n_samples=400
        )[0, 0].numpy()
        np.testing.assert_allclose(item.values, expected, rtol=0, atol=0.1 * np.abs(expected).max())
