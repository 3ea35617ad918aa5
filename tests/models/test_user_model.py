"""A user's own model: the documented example, its identity, and what is refused."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from agg2exp_core import attribute, load_model, load_scan
from agg2exp_core.errors import ModelError, UsageError
from agg2exp_core.models import check_network, check_reference
from agg2exp_core.models.user_model import is_module_reference
from agg2exp_core.pipeline import ExplainSettings, explain_cohort, plan_scans
from agg2exp_core.store import open_store
from tests.flows.cohort import write_scan

ROOT = Path(__file__).parents[2]
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "own_model.md").read_text(), re.DOTALL)


@pytest.fixture
def example(write_module, tmp_path):
    """The documented module beside weights of which every class wins somewhere."""
    name = write_module(f"own_model_{tmp_path.name}", EXAMPLE)
    network = __import__(name).TwoScales(3)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    torch.save(network.state_dict(), tmp_path / "my_weights.pt")
    return f"{name}:make"


def test_the_documented_example_explains_a_scan_and_is_not_made_twice(example, tmp_path):
    assert len(EXAMPLE.splitlines()) < 60
    module, n_made = sys.modules[example.partition(":")[0]], []
    make = module.make
    module.make = lambda device: n_made.append(device) or make(device)
    scan_file, store = write_scan(tmp_path / "scan.nii.gz"), str(tmp_path / "store")
    settings = ExplainSettings(store=store, model=example, method="vanilla_gradient", device="cpu")
    checked = plan_scans([str(scan_file)], None, settings)
    summary = explain_cohort(checked.jobs, settings)
    assert [outcome.status for outcome in summary.outcomes] == ["done"]
    assert n_made == [torch.device("cpu")]
    model = load_model(example, "cpu")
    check_network(model)
    assert (model.name, model.class_names) == ("two_scales", ("background", "liver", "spleen"))
    assert model.origin == {"kind": "python", "reference": example}
    held = open_store(store)
    assert held.model["fingerprint"] == model.fingerprint
    items = list(attribute(model, load_scan(scan_file, model), "vanilla_gradient"))
    assert len(items) >= 2
    for item in items:
        stored = held.scan("scan").attribution("vanilla_gradient", item.class_name).compute()
        np.testing.assert_allclose(stored, item.values, atol=1e-5 * np.abs(item.values).max())


@pytest.mark.slow
def test_the_fingerprint_is_the_same_in_every_process(write_module, tmp_path):
    """Of a network whose text says where a function lies in memory, too."""
    write_module(
        "printed",
        "import torch\nfrom torch import nn\nfrom agg2exp_core import wrap_network\n"
        "class Net(nn.Conv3d):\n    def extra_repr(self): return f'act={make}'\n"
        "def make(device, seed=0):\n    torch.manual_seed(seed)\n"
        "    return wrap_network(Net(1, 2, 1), ['background', 'a'], (8, 8, 8), device=device)\n"
        "def other(device): return make(device, 1)\n",
    )
    code = "from agg2exp_core import load_model; print(load_model('printed:make', 'cpu').fingerprint)"
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        for seed in ("1", "2")
    ]
    (found,) = {run.stdout.strip() for run in done}
    assert load_model("printed:make", "cpu").fingerprint == found
    assert load_model("printed:other", "cpu").fingerprint != found


BODY = (
    "from dataclasses import replace\nimport torch\nfrom torch import nn\n"
    "from agg2exp_core import wrap_network\n"
    "def good(device): return wrap_network(nn.Conv3d(1, 2, 1), ['background', 'a'], device=device)\n"
    "def make(device): return {}\n"
)
RETURNED = {
    "no model": ("nn.Conv3d(1, 2, 1)", "returns a Conv3d"),
    "nothing": ("None", "returns a NoneType"),
    "an error": ("1 / 0", r"fails \(ZeroDivisionError: division by zero\)"),
    "a wrong setting": (
        "wrap_network(nn.Conv3d(1, 2, 1), ['a', 'b'], overlap=2)",
        r"fails \(UsageError: overlap: 2",
    ),
    "no network": (
        "replace(good(device), network=print)",
        "network is a builtin_function_or_method, no Module",
    ),
    "training": ("replace(good(device), network=nn.Conv3d(1, 2, 1))", "not in evaluation mode"),
    "one class": ("replace(good(device), class_names=('a',))", "class names"),
    "classes in a list": ("replace(good(device), class_names=['a', 'b'])", "class_names is a list, no tuple"),
    "equal classes": ("replace(good(device), class_names=('a', 'a'))", "class names"),
    "no channel": ("replace(good(device), n_channels=0)", "n_channels 0"),
    "windows": ("replace(good(device), windows=(8, 8, 8))", "windows is a tuple, no WindowSettings"),
    "decision": ("replace(good(device), decision='vote')", "decision 'vote'"),
    "dtype": ("replace(good(device), dtype=torch.int8)", r"dtype torch\.int8"),
    "device": ("replace(good(device), device=torch.device('meta'))", "on meta for the device cpu"),
    "weights elsewhere": (
        "replace(good(device), network=nn.Conv3d(1, 2, 1, device='meta').eval())",
        "on meta for the device cpu",
    ),
    "no fingerprint": ("replace(good(device), fingerprint='')", "fingerprint ''"),
    "preprocessing that cannot be called": (
        "replace(good(device), preprocessing=3)",
        "preprocessing is a int, no Callable",
    ),
    "preprocessing of no words": ("replace(good(device), preprocessing=print)", "does not describe itself"),
    "no JSON": ("replace(good(device), origin={'by': print})", "as JSON can hold it"),
}


@pytest.mark.parametrize("case", RETURNED)
def test_what_is_no_model_is_refused(write_module, case):
    expression, said = RETURNED[case]
    module = write_module(f"returned_{'_'.join(case.split())}", BODY.format(expression))
    check_reference(f"{module}:make")
    with pytest.raises(ModelError, match=said) as refused:
        load_model(f"{module}:make", "cpu")
    assert str(refused.value).startswith(f"{module}:make: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("nowhere_at_all:make", "no such module"),
        ("{}:other", "has no 'other'"),
        ("{}:NUMBER", "a int; allowed: a function"),
        ("{}_broken:make", "a module that fails: ValueError"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused_before_anything_is_made(write_module, reference, said):
    write_module("leads_broken", "raise ValueError('x')")
    module = write_module("leads", "NUMBER = 3\ndef make(device): raise AssertionError")
    for act in (check_reference, load_model):
        with pytest.raises(UsageError, match=said):
            act(reference.format(module))


def test_files_and_bundles_of_the_model_zoo_are_told_apart(write_module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGG2EXP_BUNDLE_SOURCE", f"file://{tmp_path}/{{name}}.zip")
    monkeypatch.setenv("AGG2EXP_BUNDLES", str(tmp_path / "bundles"))
    with pytest.raises(ModelError, match=r"monai:make: a download that fails"):
        load_model("monai:make", "cpu")
    check_reference("monai:make")
    module = write_module("told_apart", "def make(device): raise AssertionError")
    (tmp_path / f"{module}:make").mkdir()
    with pytest.raises(ModelError, match="no model that is known here"):
        load_model(f"{module}:make", "cpu")
    for text in ("s3://bucket/model", "C:\\models", "a b:make", "model:", ":make", "models/net.ts"):
        assert not is_module_reference(text)
        with pytest.raises(ModelError, match="nothing there"):
            check_reference(text)
