"""What the doctor says of a model, of scans, and of scans for a model."""

import numpy as np

from agg2exp_cli.doctor_inputs import check_inputs
from agg2exp_core.models import is_model
from agg2exp_core.volumes import write_nifti
from tests.flows.cohort import write_model, write_scan
from tests.volumes.grids import oriented


def told(checks):
    return [(check.ok, check.name) for check in checks]


def test_a_model_alone_and_with_a_scan(tmp_path):
    model, scan = str(write_model(tmp_path / "model")), str(write_scan(tmp_path / "scans" / "s1.nii.gz"))
    assert told(check_inputs(model, None, "cpu")) == [(True, "model")]
    assert told(check_inputs(scan, model, "cpu")) == [(True, "model"), (True, "scan s1")]
    grid = oriented("RAS", (2.0, 2.0, 2.0), shape=(20, 20, 20))
    write_nifti(tmp_path / "scans" / "s2.nii.gz", np.random.default_rng(0).random(grid.shape), grid)
    of_folder = check_inputs(str(tmp_path / "scans"), model, "cpu")
    assert told(of_folder) == [(True, "model"), (True, "scan s1"), (False, "scan s2")]
    assert "Hounsfield" in of_folder[-1].detail


def test_a_scan_without_a_model_and_what_is_neither(tmp_path):
    scan = write_scan(tmp_path / "scans" / "s1.nii.gz")
    (check,) = check_inputs(str(scan), None, "cpu")
    assert (check.ok, check.detail) == (True, "24 x 20 x 22 voxels of 2 x 2 x 2 mm")
    ((ok, name),) = told(check_inputs(str(tmp_path / "none.nii.gz"), None, "cpu"))
    assert (ok, name) == (False, "scan")
    assert check_inputs(str(tmp_path / "store"), None, "cpu") is None
    assert not is_model(str(tmp_path))
    assert is_model("thorax_phantom")


def test_a_model_that_varies(tmp_path, write_module):
    name = write_module(
        "varying_model",
        "import torch\n"
        "from agg2exp_core.models import wrap_network\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return torch.cat([x, torch.nn.functional.dropout(x, 0.5, True)], dim=1)\n"
        "def make(device):\n"
        "    return wrap_network(Net(), ['background', 'organ'], (8, 8, 8), device=device)\n",
    )
    (check,) = check_inputs(f"{name}:make", None, "cpu")
    assert check.ok is False
    assert "other logits each time" in check.detail
    assert "--accept chance" in check.remedy
