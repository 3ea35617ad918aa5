"""Interactions travel with the attributions: class by region by region, over scans, as pictures."""

import numpy as np
import pytest

from agg2exp_core import attribute, load_model, load_scan, open_store, predict
from agg2exp_core.errors import StoreError
from agg2exp_core.importance.interactions import local_interactions
from agg2exp_core.pipeline import ExplainSettings, explain_cohort, plan_scans
from agg2exp_core.pipeline.interactions import cohort_interactions, stored_interactions
from agg2exp_core.pipeline.pictures import _of_interactions
from tests.flows.cohort import CLASS_NAMES, write_model, write_scan


@pytest.mark.parametrize("voxels", [True, False])
def test_stored_interactions_are_those_that_the_method_tells(tmp_path, voxels):
    scans = [str(write_scan(tmp_path / "scans" / f"s{seed}.nii.gz", seed=seed)) for seed in (1, 2)]
    model_folder = str(write_model(tmp_path / "model"))
    settings = ExplainSettings(
        store=str(tmp_path / "store"),
        model=model_folder,
        method="shapley_semantic",
        device="cpu",
        voxels=voxels,
    )
    plan = plan_scans(scans, None, settings)
    explain_cohort(plan.jobs, settings)
    store = open_store(settings.store)
    found = stored_interactions(store, "shapley_semantic")
    assert list(found) == ["s1", "s2"]
    model = load_model(model_folder, device="cpu")
    scan = load_scan(scans[0], model)
    prediction = predict(model, scan)
    infos = {i.class_name: i.info for i in attribute(model, scan, "shapley_semantic", prediction=prediction)}
    expected = local_interactions(infos, model.class_names, prediction.present)
    np.testing.assert_allclose(found["s1"]["interaction"], expected["interaction"], rtol=1e-5, atol=1e-6)
    mean = cohort_interactions(store, "shapley_semantic")["mean"]
    assert mean.sizes["roi"] == mean.sizes["other"] == len(CLASS_NAMES)
    pictures = list(_of_interactions(store, "shapley_semantic"))
    assert {name for name, *_ in pictures} <= {f"interactions_{name}" for name in CLASS_NAMES}
    assert pictures
    assert "is segmented" in pictures[0][2]
    with pytest.raises(StoreError, match="shapley_semantic"):
        cohort_interactions(store, "vanilla_gradient")
