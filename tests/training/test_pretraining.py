"""Pre-training of a tiny Swin encoder: its tasks, its views, repeatable, and taken over by a segmenter."""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from monai.networks.nets import SwinUNETR
from safetensors.torch import load_file

from agg2exp_core.datasets import write_datalist
from agg2exp_core.errors import ModelError, UsageError
from agg2exp_core.phantom import make_phantom, members, write_tree
from agg2exp_core.training import (
    build_network,
    build_proxies,
    images_of,
    phantom_example,
    pretrain,
    read_config,
    read_pretraining_config,
)
from agg2exp_core.training.config import ListedScans, NetworkSettings, TreeScans, packaged_configs
from agg2exp_core.training.networks import load_encoder
from agg2exp_core.training.pretraining import Answers, task_losses, weighted_sum
from agg2exp_core.training.views import VALIDATION, ViewBatches
from agg2exp_core.volumes import CTPreprocessing
from tests.training.tiny import TINY_ENCODER, textures

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """An uninterrupted pre-training of the tiny configuration: its folder and curves."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, pretrain(TINY_ENCODER, textures(3), textures(4)[3:], folder, device="cpu")


def retold(**changes):
    return TINY_ENCODER.model_copy(update={"training": TINY_ENCODER.training.model_copy(update=changes)})


def test_it_learns_and_keeps_its_best_encoder(outcome):
    folder, rows = outcome
    assert [row["step"] for row in rows] == [2, 4, 5]
    assert rows[-1]["validation_loss"] < 0.9 * rows[0]["validation_loss"]
    assert rows[-1]["inpainting"] < 0.9 * rows[0]["inpainting"]
    assert min(rows, key=lambda row: row["validation_loss"]) is rows[-1]
    state = torch.load(folder / "checkpoint.pt", weights_only=True)["network"]
    encoder = load_file(folder / "tiny_encoder.safetensors")
    assert {f"encoder.{name}" for name in encoder} == {n for n in state if n.startswith("encoder.")}
    assert all(torch.equal(value, state[f"encoder.{name}"]) for name, value in encoder.items())
    table = pd.read_csv(folder / "curves.csv")
    assert table.to_dict("records") == [pytest.approx(row) for row in rows]
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_killed_pretraining_goes_on_to_the_same_result(outcome, tmp_path):
    command = [sys.executable, "-m", "tests.training.victim", str(tmp_path), "3", "pretrain"]
    died = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert died.returncode == -signal.SIGKILL
    steps: list[int] = []
    rows = pretrain(
        TINY_ENCODER,
        textures(3),
        textures(4)[3:],
        tmp_path,
        device="cpu",
        on_step=lambda step, _: steps.append(step),
    )
    assert steps == [3, 4, 5]  # the last checkpoint was that of update 2
    folder, expected = outcome
    assert rows == expected
    for name in ("curves.csv", "tiny_encoder.safetensors"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_a_segmenter_begins_with_the_encoder(outcome):
    folder, _ = outcome
    file = folder / "tiny_encoder.safetensors"
    network = TINY_ENCODER.network.model_copy(update={"pretrained": file})
    built = build_network(TINY_ENCODER.model_copy(update={"network": network}), 0)
    encoder = load_file(file)
    assert all(torch.equal(value, encoder[name]) for name, value in built.swinViT.state_dict().items())


def test_the_convolutions_of_version_2_are_taken_over_where_they_were_learnt(tmp_path):
    arguments = {**TINY_ENCODER.network.arguments, "use_v2": True}
    network = NetworkSettings(name="SwinUNETR", arguments=arguments)
    config = TINY_ENCODER.model_copy(
        update={"network": network, "training": retold(n_steps=1, n_validation_batches=1).training}
    )
    pretrain(config, textures(1), textures(1), tmp_path, device="cpu")
    other = SwinUNETR(**arguments)
    file = tmp_path / "tiny_encoder.safetensors"
    assert load_encoder(other, file) == len(other.swinViT.state_dict())
    encoder = load_file(file)
    assert all(torch.equal(value, encoder[name]) for name, value in other.swinViT.state_dict().items())


def test_views_depend_on_their_number_and_seed_alone():
    settings = TINY_ENCODER.training
    forward = [ViewBatches(textures(3), settings, 0)[number] for number in (0, 1)]
    backward = [ViewBatches(textures(3), settings, 0)[number] for number in (1, 0)][::-1]
    for batch, same in zip(forward, backward, strict=True):
        assert all(torch.equal(part, other) for part, other in zip(batch, same, strict=True))
    assert not torch.equal(forward[0].seen, forward[1].seen)
    for stream in (1, VALIDATION):
        assert not torch.equal(forward[0].whole, ViewBatches(textures(3), settings, stream)[0].whole)


def test_two_views_of_a_patch_are_its_turns_with_other_holes():
    settings = TINY_ENCODER.training.model_copy(update={"batch_size": 16})
    scans = textures(2)
    before = [scan.clone() for scan in scans]
    seen, whole, turns = ViewBatches(scans, settings, 0)[0]
    assert all(torch.equal(scan, copy) for scan, copy in zip(scans, before, strict=True))
    assert set(turns.tolist()) == {0, 1, 2, 3}
    back = [torch.rot90(view, -int(k), (1, 2)) for view, k in zip(whole, turns, strict=True)]
    for first, second in zip(back[:16], back[16:], strict=True):
        assert torch.equal(first, second)
    cut = (seen != whole).flatten(1).double().mean(dim=1)
    assert ((cut > 0.15) & (cut < 0.4)).all()  # boxes of 0.3 in all, some over each other
    assert not torch.equal(seen[0] != whole[0], seen[16] != whole[16])
    for view, full in zip(seen, whole, strict=True):
        assert full.min() <= view.min() <= view.max() <= full.max()


def test_a_scan_smaller_than_a_patch_is_padded():
    (seen, whole, _) = ViewBatches([torch.ones(1, 20, 40, 8)], TINY_ENCODER.training, 0)[0]
    assert seen.shape == whole.shape == (4, 1, 32, 32, 32)
    assert whole.sum(dim=(1, 2, 3, 4)).tolist() == [20 * 32 * 8] * 4


def test_the_losses_are_those_of_the_formulas():
    random = np.random.default_rng(0)
    n, settings = 3, retold(temperature=0.7, rotation_weight=2.0, contrastive_weight=0.5).training
    views = ViewBatches(textures(1), settings.model_copy(update={"batch_size": n}), 0)[0]
    answers = Answers(
        torch.rand(views.whole.shape), torch.tensor(random.normal(size=(2 * n, 4))),
        torch.tensor(random.normal(size=(2 * n, 5))),
    )  # fmt: skip
    losses = task_losses(answers, views, settings)
    logits, codes = answers.turns.numpy(), answers.codes.numpy()
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rotation = -np.mean([np.log(shares[i, k]) for i, k in enumerate(views.turns.tolist())])
    units = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    alike = np.exp(units @ units.T / 0.7)
    contrastive = -np.mean(
        [
            np.log(alike[i, (i + n) % (2 * n)] / sum(alike[i, j] for j in range(2 * n) if j != i))
            for i in range(2 * n)
        ]
    )
    inpainting = np.abs(answers.whole.numpy() - views.whole.numpy()).mean()
    assert float(losses["rotation"]) == pytest.approx(rotation, rel=1e-5)
    assert float(losses["contrastive"]) == pytest.approx(contrastive, rel=1e-5)
    assert float(losses["inpainting"]) == pytest.approx(inpainting, rel=1e-5)
    assert float(weighted_sum(losses, settings)) == pytest.approx(inpainting + 2 * rotation + contrastive / 2)


def test_every_weight_of_the_encoder_learns():
    proxies, settings = build_proxies(TINY_ENCODER), TINY_ENCODER.training
    views = ViewBatches(textures(2), settings, 0)[0]
    weighted_sum(task_losses(proxies(views.seen), views, settings), settings).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in proxies.parameters())


@pytest.mark.parametrize("name", ["swin_encoder", "swin_encoder_small"])
def test_a_packaged_encoder_is_that_of_its_segmenter(name):
    assert name in packaged_configs("pretraining")
    config = read_pretraining_config(name)
    segmenter = read_config(name.replace("encoder", "unetr_v1_ssl"))
    assert config.network.arguments == segmenter.network.arguments
    assert config.preprocessing == segmenter.preprocessing
    assert config.training.window_shape == segmenter.training.window_shape
    if name.endswith("small"):
        assert str(segmenter.network.pretrained) == config.encoder_file
        assert config.data.training == segmenter.data.training
        assert config.data.validation == segmenter.data.validation
        proxies = build_proxies(config).to("meta")
        answers = proxies(torch.zeros(2, 1, 64, 64, 64, device="meta"))
        assert [tuple(part.shape) for part in answers] == [(2, 1, 64, 64, 64), (2, 4), (2, 512)]


def test_scans_come_from_a_tree_or_a_datalist_without_labels(tmp_path):
    tree = tmp_path / "tree"
    list(write_tree("training", tree, n=2, spacing_mm=8.0))
    table = (tree / "meta.csv").read_text().splitlines()
    table[2] = table[2].replace(";train;", ";val;")
    (tree / "meta.csv").write_text("\n".join(table))
    for mask in tree.glob("*/segmentations/*"):
        mask.unlink()
    files = [tree / f"s000{n}" / "ct.nii.gz" for n in (1, 2)]
    listed = tmp_path / "list.json"
    write_datalist(listed, {"training": [{"image": files[0]}], "validation": [{"image": files[1]}]})
    preprocessing = TINY_ENCODER.preprocessing.model_copy(update={"spacing_mm": 8.0})
    for data in (TreeScans(folder=tree), ListedScans(file=listed)):
        config = TINY_ENCODER.model_copy(update={"data": data, "preprocessing": preprocessing})
        for split, member in zip(("training", "validation"), members("training", 2), strict=True):
            (image,) = images_of(config, split, tmp_path / "cache")[:]
            phantom = make_phantom(member.seed, 8.0, member.case)
            expected = phantom_example("s", phantom, CTPreprocessing(8.0)).image
            assert torch.allclose(image, expected, atol=1e-6)
    (tree / "meta.csv").write_text("\n".join(table[:2]))
    with pytest.raises(UsageError, match="no scan in the split validation"):
        images_of(config.model_copy(update={"data": TreeScans(folder=tree)}), "validation", tmp_path)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"batch_size": 1}, "training.batch_size: 1; allowed: 2 or more"),
        ({"window_shape": [32, 64, 32]}, "training.window_shape: [32, 64, 32]; allowed: two equal numbers"),
        ({"window_shape": [48, 48, 48]}, "multiple of 32"),
        ({"masked_share": 1.0}, "training.masked_share: 1.0; allowed: more than 0, less than 1"),
        ({"cross_entropy_weight": 1.0}, "training.cross_entropy_weight: 'cross_entropy_weight'; allowed: "),
    ],
)
def test_a_wrong_setting_is_named(changes, named, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump({**TINY_ENCODER.model_dump(mode="json"), "training": changes}))
    with pytest.raises(UsageError, match=re.escape(named)):
        read_pretraining_config(path)


def test_a_network_without_a_swin_encoder_is_refused():
    arguments = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": [4, 8], "strides": [2]}
    network = NetworkSettings(name="UNet", arguments=arguments)
    with pytest.raises(UsageError, match="SwinUNETR, whose encoder"):
        build_proxies(TINY_ENCODER.model_copy(update={"network": network}))


def test_an_encoder_that_is_not_there_is_named(tmp_path):
    network = TINY_ENCODER.network.model_copy(update={"pretrained": tmp_path / "none.safetensors"})
    with pytest.raises(ModelError, match=r"none\.safetensors.*--pretrained"):
        build_network(TINY_ENCODER.model_copy(update={"network": network}), 0)
