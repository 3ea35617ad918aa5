"""A scan explained on a GPU into a store, where workers find it, and what the doctor says of the card."""

import pytest
import torch

pytestmark = pytest.mark.gpu


def test_a_scan_goes_into_a_store(gpu, tmp_path):
    for package in ("dask", "nibabel", "s3fs", "zarr"):
        pytest.importorskip(package)
    import nibabel as nib
    import numpy as np

    from agg2exp_core.phantom import make_phantom
    from agg2exp_core.pipeline import ExplainSettings, explain_cohort, plan_scans

    made = make_phantom(0, 4.0)
    nib.save(nib.Nifti1Image(made.hu.astype(np.int16), np.diag([4.0, 4, 4, 1])), tmp_path / "a.nii.gz")
    kept = []
    for name in ("one", "two"):
        settings = ExplainSettings(
            store=str(tmp_path / name), model="thorax_phantom", method="vanilla_gradient", device="auto"
        )
        plan = plan_scans([str(tmp_path / "a.nii.gz")], None, settings)
        summary = explain_cohort(plan.jobs, settings, plan.rejected)
        assert summary.n_done == 1
        from agg2exp_core import open_store

        units = open_store(settings.store).scan("a").units(settings.result_label)
        kept.append({target: unit.checksum for target, unit in units.items()})
    assert kept[0] == kept[1] != {}


def test_a_worker_is_pinned_to_each_gpu(gpu):
    pytest.importorskip("prefect")
    from agg2exp.deployments.workers import places

    found = places("all")
    assert [place.name for place in found] == [f"cuda:{i}" for i in range(torch.cuda.device_count())]


def test_the_doctor_tells_the_card(gpu, figure):
    pytest.importorskip("prefect")
    from agg2exp_cli.doctor import check_devices

    for check in check_devices():
        figure(f"doctor: {check.name}: {check.detail}")
        assert check.ok
