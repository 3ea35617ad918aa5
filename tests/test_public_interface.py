"""What notebooks and outside checks rely on, from the package's own door."""

import numpy as np
import pytest
import torch

import agg2exp_core
from agg2exp_core.phantom import write_cohort
from tests.networks import CLASS_NAMES, random_image, smooth_network


def test_every_name_is_there():
    assert set(agg2exp_core.__all__) <= set(dir(agg2exp_core))
    for name in agg2exp_core.__all__:
        assert getattr(agg2exp_core, name).__module__.startswith("agg2exp_core.")
    with pytest.raises(AttributeError, match="no attribute 'explain'"):
        agg2exp_core.explain  # noqa: B018


def test_from_a_file_to_a_global_matrix(tmp_path):
    from agg2exp_core import (
        attribute,
        global_importance,
        load_model,
        load_scan,
        local_importance,
        predict,
    )

    model = load_model("thorax_phantom", device="cpu")
    matrices = []
    for path in write_cohort(tmp_path, 2, seed=3, spacing_mm=8.0):
        scan = load_scan(path, model)
        prediction = predict(model, scan)
        items = attribute(
            model, scan, method="smoothgrad", classes=["aorta", "heart"], prediction=prediction, n_samples=1
        )
        matrices.append(local_importance(items, prediction))
    overall = global_importance(matrices, variable="mass")
    assert set(overall) == {"mean", "sd", "sem", "n", "median", "q25", "q75", "ci_low", "ci_high"}
    assert overall["n"].sel(target="heart", roi="heart") == 2
    assert overall["mean"].sel(target="heart").sum() == pytest.approx(1)
    assert np.isnan(overall["mean"].sel(target="ribs")).all()


def test_a_network_in_memory_and_a_bare_tensor():
    model = agg2exp_core.wrap_network(
        smooth_network(), list(CLASS_NAMES), window_shape=(8, 8, 8), overlap=0.25, blend="constant"
    )
    image = random_image(1, 12, 9, 10, dtype=torch.float32)
    prediction = agg2exp_core.predict(model, image)
    assert prediction.labels.shape == (12, 9, 10)
    half = np.zeros((12, 9, 10), bool)
    half[:6] = True
    items = list(agg2exp_core.attribute(model, image, method="vanilla_gradient", seed=0))
    assert all(item.values.dtype == np.float32 for item in items)
    matrix = agg2exp_core.local_importance(items, {"front": half, "all": np.ones_like(half)})
    np.testing.assert_allclose(matrix["mass"].sel(roi="all"), 1)
    share = np.abs(items[0].values[:6]).sum(dtype=float) / np.abs(items[0].values).sum(dtype=float)
    assert float(matrix["mass"].sel(roi="front")[0]) == pytest.approx(share)
