"""The commands `train`, `pretrain`, `compare-models` and `phantom`."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from prefect.client.orchestration import get_client
from safetensors.torch import load_file

from agg2exp.tasks.artifacts import artifact_key
from agg2exp_cli.__main__ import run
from agg2exp_core.datasets import find_cases, merge_labels
from agg2exp_core.errors import UsageError
from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.models import load_model
from agg2exp_core.phantom import make_phantom, write_tree
from agg2exp_core.prediction import predict
from agg2exp_core.training import build_network, read_config, save_model
from agg2exp_core.training.comparison import check_comparison
from agg2exp_core.training.scoring import segmented_configuration, segmented_tree
from agg2exp_core.volumes import CTPreprocessing, load_scan

TINY = {
    "name": "tiny",
    "network": {
        "name": "UNet",
        "arguments": {
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 17,
            "channels": [4, 8],
            "strides": [2],
        },
    },
    "windows": {"shape": [32, 32, 32]},
    "preprocessing": {"spacing_mm": 8.0},
    "data": {
        "kind": "phantoms",
        "training": {"first": 0, "n": 1},
        "validation": {"first": 1, "n": 1},
        "test": {"first": 2, "n": 2},
    },
    "training": {"window_shape": [32, 32, 32], "n_steps": 2, "batch_size": 1, "validate_every": 1},
}


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


def saved_models(config, folder, spacing_mm=8.0):
    """Two untrained models with different names; the second one of this spacing."""
    described = read_config(config)
    for name, seed, edge in (("first", 1, 8.0), ("second", 2, spacing_mm)):
        preprocessing = described.preprocessing.model_copy(update={"spacing_mm": edge})
        update = {"name": name, "preprocessing": preprocessing}
        description = described.model_copy(update=update).description()
        save_model(folder / name, description, build_network(described, seed))
    return [str(folder / name) for name in ("first", "second")]


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.slow
def test_a_grid_of_weights_gives_a_model_each_and_the_curves_are_artifacts(config, tmp_path, capsys):
    out = tmp_path / "out"
    grid = ["--cross-entropy-weight", "0.5", "--cross-entropy-weight", "1"]
    command = ["train", "--config", str(config), "--out", str(out), "--device", "cpu", *grid]
    assert run(command) == 0
    for name in ("lambda_0.5", "lambda_1"):
        assert load_model(out / name / "model", device="cpu").class_names == THORAX_CLASSES
        assert list(pd.read_csv(out / name / "curves.csv")["step"]) == [1, 2]
    assert "best mean Dice" in capsys.readouterr().out
    with get_client(sync_client=True) as client:
        keys = {artifact.key for artifact in client.read_artifacts()}
    assert {key for key in keys if key and key.startswith(("curves", "training"))}
    written = (out / "lambda_1" / "checkpoint.pt").stat().st_mtime_ns
    assert run(command) == 0
    assert (out / "lambda_1" / "checkpoint.pt").stat().st_mtime_ns == written


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.slow
def test_an_encoder_is_pretrained_and_taken_over_by_a_training(tmp_path, capsys):
    arguments = {
        "in_channels": 1,
        "out_channels": 17,
        "feature_size": 12,
        "depths": [1, 1, 1, 1],
        "window_size": 4,
    }
    told = TINY | {"network": {"name": "SwinUNETR", "arguments": arguments}, "windows": {}}
    told["training"] = TINY["training"] | {"n_steps": 1, "learning_rate": 1e-9, "weight_decay": 0}
    told["training"]["window_shape"] = told["windows"]["shape"] = [32, 32, 64]
    encoding = {key: told[key] for key in ("network", "preprocessing", "data")} | {"name": "tiny_encoder"}
    encoding["training"] = told["training"] | {"batch_size": 2, "n_validation_batches": 1}
    for name, content in (("encoder", encoding), ("segmenter", told)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    command = ["--device", "cpu", "--config"]
    encoder = tmp_path / "pre" / "tiny_encoder.safetensors"
    assert run(["pretrain", *command, str(tmp_path / "encoder.yaml"), "--out", str(encoder.parent)]) == 0
    assert f"encoder: {encoder}" in "".join(capsys.readouterr().out.split("\n"))
    assert set(pd.read_csv(encoder.parent / "curves.csv")) >= {"inpainting", "rotation", "contrastive"}
    out, segmenter = tmp_path / "out", str(tmp_path / "segmenter.yaml")
    assert run(["train", *command, segmenter, "--out", str(out), "--pretrained", str(encoder)]) == 0
    trained, begun = load_file(out / "model" / "model.safetensors"), load_file(encoder)
    for name, value in begun.items():
        assert torch.allclose(trained[f"swinViT.{name}"], value, atol=1e-6)
    with get_client(sync_client=True) as client:
        keys = {artifact.key for artifact in client.read_artifacts()}
    assert {artifact_key(part, "tiny_encoder") for part in ("curves", "training")} <= keys


@pytest.mark.usefixtures("prefect_server")
def test_models_are_compared_on_a_tree_and_its_failures(config, tmp_path, capsys):
    """A scan that is no CT any more is left out, and named."""
    tree, out = tmp_path / "tree", tmp_path / "table"
    list(write_tree("failures", tree, n=3, spacing_mm=8.0))
    bad = tree / "s0003" / "ct.nii.gz"
    image = nib.load(bad)
    nib.save(nib.Nifti1Image(np.abs(np.asarray(image.dataobj)), image.affine), bad)
    models = saved_models(config, tmp_path, spacing_mm=7.0)
    assert run(["compare-models", *models, "--tree", str(tree), "--out", str(out), "--device", "cpu"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "repeated-measures" in shown
    assert "s0003 was refused" in shown
    scores = pd.read_csv(out / "scores.csv")
    assert len(scores) == 2 * 2 * 16
    assert set(scores["model"]) == {"first", "second"}
    assert set(scores["scan"]) == {"s0001", "s0002"}
    tables = {f"table3.{kind}" for kind in ("md", "tex", "csv")}
    assert {path.name for path in out.iterdir()} >= tables | {"tests.csv", "dice.png", "severity.csv"}
    by_severity = pd.read_csv(out / "severity.csv", index_col=["model", "failure"])
    assert list(by_severity.columns) == ["0.0", "0.25", "0.5"]
    assert by_severity.loc[("first", "noise")].notna().tolist() == [True, True, False]
    assert "refused" in (out / "severity.md").read_text()


def test_models_are_compared_on_the_scans_of_a_configuration(config, tmp_path):
    settings = check_comparison(saved_models(config, tmp_path), str(tmp_path), config=str(config))
    model = load_model(settings.models["first"], "cpu")
    shown = []
    scans = list(segmented_configuration(model, str(config), lambda *done: shown.append(done)))
    assert [(scan.scan_id, scan.spacing_mm) for scan in scans] == [
        ("seed 2", (8.0,) * 3),
        ("seed 3", (8.0,) * 3),
    ]
    assert shown == [(1, 2), (2, 2)]
    phantom = make_phantom(2, 8.0)
    assert np.array_equal(scans[0].truth, phantom.labels)
    assert scans[0].found.shape == phantom.labels.shape
    with pytest.raises(UsageError, match="those of thorax_phantom"):
        check_comparison(list(settings.models.values()), str(tmp_path), config="thorax_phantom")
    with pytest.raises(UsageError, match="one of them"):
        check_comparison(
            list(settings.models.values()), str(tmp_path), config=str(config), tree=str(tmp_path)
        )


def test_models_of_other_spacing_and_order_of_classes_are_scored_on_the_masks_grid(config, tmp_path):
    """Beside a look-up of every voxel's nearest one, by hand."""
    tree = tmp_path / "tree"
    list(write_tree("test", tree, n=1, spacing_mm=8.0))
    (case,) = find_cases(tree)
    first = load_model(saved_models(config, tmp_path)[0], "cpu")
    turned = (THORAX_CLASSES[0], *reversed(THORAX_CLASSES[1:]))
    other = replace(first, class_names=turned, preprocessing=CTPreprocessing(6.5))
    for model in (first, other):
        (scored,) = segmented_tree(model, tree, THORAX_CLASSES, lambda *_: None, pytest.fail)
        truth, grid = merge_labels(case, THORAX_CLASSES)
        assert np.array_equal(scored.truth, truth)
        assert scored.spacing_mm == grid.spacing_mm
        scan = load_scan(case.image, model)
        labels = predict(model, scan).labels
        there = np.linalg.inv(scan.affine) @ grid.affine
        for voxel in np.random.default_rng(0).integers(0, grid.shape, size=(400, 3)):
            near = np.floor((there @ [*voxel, 1])[:3] + 0.5).astype(int)
            inside = ((near >= 0) & (near < labels.shape)).all()
            name = model.class_names[labels[tuple(near)] if inside else 0]
            assert THORAX_CLASSES[scored.found[tuple(voxel)]] == name


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (["train", "--config", "nowhere"], "nowhere"),
        (["train", "--config", "thorax_phantom", "--devices", "0"], "--devices"),
        (["train", "--config", "thorax_phantom", "--cross-entropy-weight", "-1"], "--cross-entropy-weight"),
        (["train", "--config", "thorax_phantom", "--device", "abacus"], "device"),
        (["pretrain", "--config", "nowhere"], "swin_encoder_small"),
        (["pretrain", "--config", "swin_encoder_small", "--devices", "0"], "--devices"),
        (["pretrain", "--config", "swin_encoder_small", "--device", "abacus"], "device"),
        (["train", "--config", "swin_unetr_v1_ssl_small"], "--pretrained"),
        (["train", "--config", "unet_small", "--pretrained", "any.safetensors"], "SwinUNETR"),
        (["compare-models", "thorax_phantom", "--config", "thorax_phantom"], "two models"),
        (["compare-models", "thorax_phantom"], "--config, --tree: neither"),
        (["compare-models", "thorax_phantom", "--tree", "nowhere"], "nowhere"),
        (["phantom", "zoo"], "cohort"),
        (["phantom", "test", "--n", "0"], "n: 0"),
        (["phantom", "test", "--spacing", "99"], "spacing_mm"),
    ],
)
def test_wrong_use_is_one_line_before_anything_is_written(command, named, tmp_path, capsys):
    assert run([*command, "--out", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert named in line
    assert not (tmp_path / "out").exists()


def test_a_cohort_of_phantoms_is_a_tree_that_can_be_trained_on(tmp_path, capsys):
    assert run(["phantom", "training", "--out", str(tmp_path), "--n", "2", "--spacing", "8"]) == 0
    assert "2 scans of the cohort training" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["meta.csv", "rois", "s0001", "s0002"]
    assert [case.scan_id for case in find_cases(tmp_path)] == ["s0001", "s0002"]
