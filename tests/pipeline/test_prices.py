"""What a scan is said to leave in the store is what it leaves."""

from pathlib import Path

import pytest

from agg2exp_core.pipeline import ExplainSettings, explain_cohort, plan_scans
from agg2exp_core.pipeline.cache import model_of
from agg2exp_core.pipeline.prices import longest_load, method_footprint, missing_of, scan_footprint
from agg2exp_core.volumes import load_scan
from tests.flows.cohort import CLASS_NAMES, write_model, write_scan

SHAPE = (24, 20, 22)


@pytest.mark.parametrize("voxels", [True, False])
def test_objects_of_a_scan(tmp_path, voxels):
    write_model(tmp_path / "model")
    path = write_scan(tmp_path / "s1.nii.gz", seed=1, shape=SHAPE)
    settings = ExplainSettings(
        store=str(tmp_path / "store"),
        model=str(tmp_path / "model"),
        method="vanilla_gradient",
        device="cpu",
        voxels=voxels,
    )
    model = model_of(settings)
    scan = load_scan(path, model, "s1")
    before = missing_of(settings, scan)
    assert (before.shape, before.segmented, before.n_classes) == (SHAPE, False, len(CLASS_NAMES))
    assert not (tmp_path / "store").exists()
    assert explain_cohort(plan_scans([str(path)], "s1", settings).jobs, settings).n_done == 1
    after = missing_of(settings, scan)
    assert (after.segmented, after.n_classes) == (True, 0)
    left = [
        p for p in Path(settings.store, "scans").rglob("*") if p.is_file() and "importance" not in p.parts
    ]
    rows = 1
    told = scan_footprint(model, SHAPE) + method_footprint(settings, SHAPE, len(CLASS_NAMES), voxels=voxels)
    assert told.n_objects == len(left) + rows
    assert told.n_bytes > sum(p.stat().st_size for p in left if p.name != "zarr.json") / 2


def test_scans_go_where_least_waits():
    assert longest_load([1.0, 2.0, 3.0, 4.0], 2) == 5.0
    assert longest_load([], 2) == 0.0
