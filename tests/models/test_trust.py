"""Code of a bundle's choice runs only where its user says so."""

import json
import zipfile

import pytest

from agg2exp_core.errors import ModelError
from agg2exp_core.models import check_reference, load_model
from agg2exp_core.models.trust import TRUST, check_trust
from agg2exp_core.models.zoo import FOLDER, SOURCE
from tests.models.monai_bundle import bundle, small_network


@pytest.fixture
def folder(tmp_path):
    return bundle(tmp_path / "bundle", small_network(), script=False)


def change(folder, edit):
    path = folder / "configs" / "inference.json"
    config = json.loads(path.read_text())
    edit(config)
    path.write_text(json.dumps(config))


def with_step(config, **step):
    config["preprocessing"]["transforms"].append({"keys": "image", **step})


MARK = "$open(@mark, 'w').write('ran')"


@pytest.mark.parametrize(
    "edit",
    [
        lambda c: c["inferer"].update(overlap=MARK),
        lambda c: c.update(overlap=MARK) or c["inferer"].update(overlap="@overlap"),
        lambda c: c.update(deep=["@deeper"], deeper=MARK) or c["inferer"].update(_requires_="@deep::0"),
        lambda c: c["network_def"].update(act="$__import__('pathlib').Path(@mark).touch()"),
        lambda c: c["network_def"].update(act="$().__class__.__base__.__subclasses__()"),
        lambda c: c["network_def"].update(act="$os.system('touch ' + @mark)"),
        lambda c: c["network_def"].update(act="$torch.load(@mark)"),
        lambda c: c["network_def"].update(act="$monai.bundle.load(@mark)"),
        lambda c: c["network_def"].update(act="$(lambda f: f(@mark, 'w'))(open)"),
        lambda c: c["network_def"].update(act="$1; import os"),
        lambda c: c["network_def"].update(act="$[(x := open)(@mark)]"),
        lambda c: c["network_def"].update(act={"_target_": "os.system", "command": "touch"}),
        lambda c: c["network_def"].update(act={"_target_": "monai.bundle.download", "name": "x"}),
        lambda c: c["network_def"].update(act={"_target_": "monai.transforms.os.system", "command": "x"}),
        lambda c: c["network_def"].update(act={"_target_": "torch.nn.modules.module.functools.partial"}),
        lambda c: c["network_def"].update(act={"_target_": "download_url", "url": "x"}),
        lambda c: with_step(c, _target_="Lambdad", func="$lambda x: exec('pass')"),
        lambda c: c["network_def"].update(act="$[len(@mark, 'w') for len in [open]]"),
        lambda c: c["network_def"].update(act="$[f('pass') for f in [exec]]"),
        lambda c: c["network_def"].update(act="$(lambda f: f.get)(open)"),
        lambda c: c["network_def"].update(act="$torch.hub.load"),
        lambda c: c["network_def"].update(act="$torch"),
        lambda c: c.update(t="$torch") or c["network_def"].update(act="$@t.hub.load"),
        lambda c: c.update(evil=MARK) or c["network_def"].update(act="@"),
        lambda c: c.update(evil=MARK) or c["network_def"].update(act="$len(@)"),
        lambda c: with_step(c, _target_="Lambdad", func="$exec"),
        lambda c: with_step(c, _target_="SaveImaged"),
        lambda c: with_step(c, _target_="convert_to_torchscript"),
        lambda c: c.update(imports=["$import antigravity"]),
        lambda c: c.update(imports=["$import\tantigravity"]),
        lambda c: c.update(deep={"imports": ["$from torch.hub import load as len"]}),
        lambda c: c.update(imports=["$import os as torch"]),
        lambda c: c.update(imports=["$from numpy import load as sum"]),
        lambda c: c.update(imports=["$from os import system"]),
    ],
)
def test_what_runs_code_is_refused(folder, tmp_path, monkeypatch, edit):
    monkeypatch.delenv(TRUST, raising=False)
    change(folder, lambda c: c.update(mark=str(tmp_path / "mark")))
    change(folder, edit)
    with pytest.raises(ModelError, match=TRUST):
        load_model(folder, "cpu")
    assert not (tmp_path / "mark").exists()


def test_trust_lets_it_run(folder, tmp_path, monkeypatch):
    change(folder, lambda c: c.update(mark=str(tmp_path / "mark")))
    change(folder, lambda c: c["inferer"].update(overlap=f"{MARK} * 0 + 0.5"))
    monkeypatch.setenv(TRUST, "1")
    assert load_model(folder, "cpu").windows.overlap == 0.5
    assert (tmp_path / "mark").read_text() == "ran"


@pytest.mark.parametrize(
    "edit",
    [
        lambda c: c.update(size="$[16] * 3") or c["inferer"].update(roi_size="@size"),
        lambda c: c["inferer"].update(roi_size="$[n // 2 for n in (32, 32, 32)]"),
        lambda c: c["inferer"].update(device="$torch.device('cuda' if torch.cuda.is_available() else 'cpu')"),
        lambda c: with_step(c, _target_="Lambdad", func="$lambda x: (x - x.min()) / max(x.max(), 1)"),
        lambda c: with_step(c, _target_="monai.transforms.ScaleIntensityd"),
        lambda c: (
            c.update(imports=["$import numpy as np", "$import math"])
            or c["inferer"].update(cval="$0 * @c", _desc_="a@b")
            or c.update(c="$min(np.pi, math.sqrt(4))")
        ),
        lambda c: c.update(imports=["$import glob", "$import torch", "$from monai.networks import nets"]),
        lambda c: c.update(train={"_target_": "os.system", "command": "never made"}, files="$glob.glob('*')"),
    ],
)
def test_what_computes_needs_no_trust(folder, monkeypatch, edit):
    monkeypatch.delenv(TRUST, raising=False)
    change(folder, edit)
    assert load_model(folder, "cpu").windows.shape == (16, 16, 16)


def test_bundles_of_the_model_zoo_need_none():
    """Preprocessing, inferer and network as the zoo's bundles write them."""
    config = {
        "imports": ["$import glob", "$import os"],
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": "SegResNet",
            "blocks_down": [1, 2, 2, 4],
            "act": ["relu", {"inplace": True}],
        },
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True, "channel_wise": True},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
                {"_target_": "Lambdad", "keys": "image", "func": "$lambda x: x > 0"},
            ],
        },
        "inferer": {"_target_": "monai.inferers.SlidingWindowInferer", "roi_size": [96, 96, 96]},
    }
    check_trust("zoo", config, ("preprocessing", "inferer", "network_def", "network"))


def test_a_bundle_by_name_comes_from_the_source_that_is_set(folder, tmp_path, monkeypatch):
    archive = tmp_path / "source" / "small.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*")):
            packed.write(path, f"small/{path.relative_to(folder)}")
    monkeypatch.setenv(SOURCE, f"file://{archive.parent}/{{name}}.zip")
    monkeypatch.setenv(FOLDER, str(tmp_path / "bundles"))
    check_reference("monai:small")
    fetched = load_model("monai:small", "cpu")
    assert fetched.fingerprint == load_model(folder, "cpu").fingerprint
    archive.unlink()
    assert load_model("monai:small", "cpu").fingerprint == fetched.fingerprint  # once is enough
    with pytest.raises(ModelError, match="download that fails"):
        load_model("monai:small@2.0", "cpu")
    assert sorted(path.name for path in (tmp_path / "bundles").rglob("*") if path.is_dir())[:1] == ["2.0"]
    assert not list((tmp_path / "bundles" / "2.0").iterdir())
    for wrong in ("monai:../../etc", "monai:", "monai:a b"):
        with pytest.raises(ModelError, match="no name of a bundle"):
            load_model(wrong, "cpu")
