"""What is doubtful reaches the run's table, the store's record of a scan and the report; or it is refused."""

import json
import warnings

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from torch import nn

from agg2exp_core import load_model
from agg2exp_core.errors import UsageError
from agg2exp_core.models import check_network
from agg2exp_core.phantom.cohorts import write_cohort
from agg2exp_core.pipeline import ExplainSettings, explain_cohort, plan_scans
from agg2exp_core.report import write_report
from agg2exp_core.store import open_store
from agg2exp_core.types import Prediction
from agg2exp_core.volumes import load_scan


class Bright(nn.Module):
    """Three classes by intensity, whatever lies around a voxel."""

    def forward(self, x):
        return torch.cat([0.4 - x, x - 0.45, 4 * (x - 0.7)], dim=1) * 10


class Probable(Bright):
    """The same as probabilities."""

    def forward(self, x):
        return torch.softmax(super().forward(x), dim=1)


def write_model(folder, network):
    folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.trace(network, torch.rand(1, 1, 12, 12, 12)).save(folder / "net.ts")
    description = {
        "class_names": ["background", "body", "bone"],
        "weights": "net.ts",
        "windows": {"shape": [12, 12, 12]},
        "preprocessing": {"kind": "ct", "spacing_mm": 2.0, "hu_range": [-1000, 1000]},
    }
    (folder / "net.yaml").write_text(yaml.safe_dump(description))


def write_scan(path, offset, with_metal):
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in (16, 14, 12)), indexing="ij")
    hu = np.where(x**2 + y**2 < 0.6, 40.0, -1000.0) + offset
    hu[6:9, 6:9, 2:9] += 900
    hu[:1] += 7000 * with_metal
    noise = np.random.default_rng(0).normal(0, 9, hu.shape)
    nib.save(nib.Nifti1Image((hu + noise).astype(np.float32), np.diag([-2.0, -2.0, 2.0, 1.0])), path)
    return str(path)


def settings(tmp_path, **more):
    model, store = tmp_path / "model" / "net.ts", tmp_path / "store"
    return ExplainSettings(
        store=str(store), model=str(model), method="vanilla_gradient", device="cpu", **more
    )


def run(tmp_path, network, offsets, with_metal=False, **more):
    scans = [write_scan(tmp_path / f"s{n}.nii.gz", offset, with_metal) for n, offset in enumerate(offsets)]
    write_model(tmp_path / "model", network)
    made = settings(tmp_path, **more)
    plan = plan_scans(scans, None, made)
    return explain_cohort(plan.jobs, made, plan.rejected), open_store(made.store)


def test_one_doubtful_scan_is_refused_beside_the_others_and_a_run_in_order_says_nothing(tmp_path):
    summary, store = run(tmp_path, Bright(), [0.0, 1024.0])
    good, bad = summary.outcomes
    assert (good.status, good.reason, good.n_classes) == ("done", "", 3)
    assert store.scan("s0").remarks() == ()
    assert bad.status == "rejected"
    assert "not in Hounsfield units" in bad.reason
    assert "--accept hu" in store.failures()["s1"].reason


def test_what_is_accepted_is_told_wherever_a_user_looks(tmp_path):
    summary, store = run(tmp_path, Bright(), [0.0], with_metal=True, accept=["hu"])
    (outcome,) = summary.outcomes
    assert outcome.status == "done"
    assert [remark.code for remark in store.scan("s0").remarks()] == ["hu"]
    assert "not in Hounsfield units" in outcome.reason
    write_report(store, [summary.label], tmp_path / "report", volumes="none")
    for page in ("index.html", f"{summary.label}/scans/s0.html"):
        assert "not in Hounsfield units" in (tmp_path / "report" / page).read_text()


def test_what_is_doubtful_about_the_network_is_told_with_each_scan(tmp_path):
    summary, _ = run(tmp_path, Probable(), [0.0])
    assert "seems to end in a softmax" in summary.outcomes[0].reason
    attributes = json.loads((tmp_path / "store/scans/s0.zarr/labels/prediction/zarr.json").read_text())
    assert [r["code"] for r in attributes["attributes"]["agg2exp"]["remarks"]] == ["logits"]
    (job,) = plan_scans([str(tmp_path / "s0.nii.gz")], None, settings(tmp_path)).kept
    again = explain_cohort([job], settings(tmp_path))
    assert again.outcomes[0].reason == summary.outcomes[0].reason  # kept results keep what was said of them


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((100, 0, 0), "nothing but background"),
        ((0, 100, 0), "body fills 100.0% of the scan"),
        ((2, 1, 97), "bone fills 97.0% of the scan"),
        ((97, 1, 2), ""),
        ((10, 90, 0), ""),
    ],
)
def test_a_prediction_that_is_one_class_is_told(counts, said):
    labels = np.repeat(np.arange(3), counts).reshape(5, 5, 4)
    ones = np.ones(labels.shape, np.float32)
    remarks = Prediction(labels, ("background", "body", "bone"), ones, ones).remarks
    assert [remark.code for remark in remarks] == ["prediction"] * bool(said)
    assert said in "".join(remark.text for remark in remarks)


def test_what_can_be_accepted():
    with pytest.raises(UsageError, match="--accept: 'units'; allowed: hu, modality, chance, batch"):
        ExplainSettings(store="s", model="m", accept=["units"])


def test_the_packaged_models_and_their_scans_are_in_order(tmp_path):
    model = load_model("thorax_phantom", "cpu")
    assert check_network(model) == ()
    scans = write_cohort(tmp_path, 1, spacing_mm=6.0)
    assert [load_scan(scan, model).remarks for scan in scans] == [()]
