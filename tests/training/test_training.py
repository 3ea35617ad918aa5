"""Training of a tiny network on tiny scans: it learns, repeats, survives being killed, can be scored."""

import os
import re
import signal
import subprocess
import sys
from contextlib import nullcontext
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from monai.inferers.utils import sliding_window_inference
from monai.losses.dice import DiceCELoss
from safetensors.torch import load_file

from agg2exp_core.errors import UsageError
from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.models import load_model
from agg2exp_core.models.description import CTSettings
from agg2exp_core.phantom import make_phantom, members, write_tree
from agg2exp_core.prediction import predict
from agg2exp_core.training import (
    Example,
    TrainingConfig,
    build_network,
    evaluate,
    examples_of,
    packaged_configs,
    phantom_example,
    phantom_examples,
    read_config,
    save_model,
    train,
)
from agg2exp_core.training.__main__ import main
from agg2exp_core.training.config import NetworkSettings, PhantomData, TreeData
from agg2exp_core.training.sampling import PatchBatches
from agg2exp_core.volumes import CTPreprocessing
from tests.training.tiny import TINY, balls

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """An uninterrupted training of the tiny configuration: its folder and curves."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(TINY, balls(4), balls(6)[4:], folder, device="cpu")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def retold(**changes: object) -> TrainingConfig:
    return TINY.model_copy(update={"training": TINY.training.model_copy(update=changes)})


def test_it_learns_and_keeps_its_best_weights(outcome):
    folder, rows = outcome
    assert [row["step"] for row in rows] == [15, 30, 40]
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    best = max(row["dice"] for row in rows)
    assert best == max(row["ball"] for row in rows) > 0.7
    model = load_model(folder / "model", device="cpu")
    dice = evaluate(lambda image: predict(model, image).labels, balls(6)[4:], model.class_names)
    assert dice["ball"].mean() == pytest.approx(best)


def test_curves_are_written_as_table_and_picture(outcome):
    folder, rows = outcome
    table = pd.read_csv(folder / "curves.csv")
    assert table.to_dict("records") == [pytest.approx(row) for row in rows]
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_equal_seeds_give_equal_weights_and_others_do_not(tmp_path):
    for name, seed in (("first", 0), ("second", 0), ("other", 1)):
        train(retold(n_steps=4, seed=seed), balls(4), balls(1), tmp_path / name, device="cpu")
    first, second, other = (weights(tmp_path / name) for name in ("first", "second", "other"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("killed_at", [7, 33])
def test_a_killed_training_goes_on_to_the_same_result(outcome, killed_at, tmp_path):
    command = [sys.executable, "-m", "tests.training.victim", str(tmp_path), str(killed_at)]
    died = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert died.returncode == -signal.SIGKILL
    steps: list[int] = []
    rows = train(
        TINY, balls(4), balls(6)[4:], tmp_path, device="cpu", on_step=lambda step, _: steps.append(step)
    )
    assert 0 < steps[0] - 1 <= killed_at
    assert steps == list(range(steps[0], 41))
    folder, expected = outcome
    assert rows == expected
    state, truth = (torch.load(f / "checkpoint.pt", weights_only=True) for f in (tmp_path, folder))
    assert all(torch.equal(state["network"][k], v) for k, v in truth["network"].items())
    assert (tmp_path / "curves.csv").read_bytes() == (folder / "curves.csv").read_bytes()
    assert all(torch.equal(v, weights(folder)[k]) for k, v in weights(tmp_path).items())


def test_a_finished_training_is_not_done_again(outcome):
    folder, rows = outcome

    def never(step: int, loss: float) -> None:
        raise AssertionError(step)

    assert train(TINY, balls(4), balls(6)[4:], folder, device="cpu", on_step=never) == rows


def test_a_folder_with_another_training_is_refused(outcome):
    folder, _ = outcome
    before = (folder / "checkpoint.pt").read_bytes()
    with pytest.raises(UsageError, match="other settings"):
        train(retold(seed=9), balls(4), balls(1), folder, device="cpu")
    assert (folder / "checkpoint.pt").read_bytes() == before


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"half a file")
    with pytest.raises(UsageError, match="cannot be read"):
        train(TINY, balls(1), balls(1), tmp_path, device="cpu")


def test_the_gradient_of_an_update_is_the_mean_over_its_passes(tmp_path):
    changed = retold(n_steps=1, accumulate=3, batch_size=1, weight_decay=0.0)
    changed = changed.model_copy(
        update={"network": NetworkSettings(name="UNet", arguments={**TINY.network.arguments, "dropout": 0.0})}
    )
    train(changed, balls(4), balls(1), tmp_path, device="cpu")
    network = build_network(changed, changed.training.seed)
    criterion = DiceCELoss(to_onehot_y=True, softmax=True, batch=True)
    batches = PatchBatches(balls(4), changed.training)
    torch.stack([criterion(network(batches[i][0]), batches[i][1]) for i in range(3)]).mean().backward()
    optimiser = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["optimiser"]
    for number, parameter in enumerate(
        network.parameters()
    ):  # AdamW's first moment is a tenth of the gradient
        found = optimiser["state"][number]["exp_avg"]
        assert torch.allclose(found, 0.1 * parameter.grad, atol=1e-5 * float(parameter.grad.abs().max()))


@pytest.mark.long
def test_the_gradient_of_an_update_is_the_mean_over_devices(tmp_path):
    changed = retold(n_steps=1, batch_size=1, weight_decay=0.0)
    network = NetworkSettings(name="UNet", arguments={**TINY.network.arguments, "dropout": 0.0})
    changed = changed.model_copy(update={"network": network})
    train(changed, balls(4), balls(1), tmp_path, device="cpu", n_devices=2)
    criterion, alone = DiceCELoss(to_onehot_y=True, softmax=True, batch=True), build_network(changed, 0)
    batches = [PatchBatches(balls(4), changed.training, rank)[0] for rank in (0, 1)]
    torch.stack([criterion(alone(images), labels) for images, labels in batches]).mean().backward()
    optimiser = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["optimiser"]
    for number, parameter in enumerate(alone.parameters()):
        found = optimiser["state"][number]["exp_avg"]
        assert torch.allclose(found, 0.1 * parameter.grad, atol=1e-5 * float(parameter.grad.abs().max()))


def test_bfloat16_trains_weights_of_float32(tmp_path):
    rows = train(retold(precision="bfloat16"), balls(4), balls(6)[4:], tmp_path, device="cpu")
    assert rows[-1]["loss"] < 0.6 * rows[0]["loss"]
    assert {v.dtype for v in weights(tmp_path).values() if v.is_floating_point()} == {torch.float32}


def test_building_a_network_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_network(TINY, seed=1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("augmentation", ["gentle", "paper"])
def test_a_batch_depends_on_its_number_and_seed_alone(augmentation):
    settings = TINY.training.model_copy(update={"augmentation": augmentation, "seed": 3})
    forward = [PatchBatches(balls(3), settings)[number] for number in (0, 1)]
    backward = [PatchBatches(balls(3), settings)[number] for number in (1, 0)][::-1]
    for (image, label), (same_image, same_label) in zip(forward, backward, strict=True):
        assert torch.equal(image, same_image)
        assert torch.equal(label, same_label)
        assert image.shape == label.shape == (2, 1, 16, 16, 16)
    assert not torch.equal(forward[0][0], forward[1][0])
    assert not torch.equal(forward[0][0], PatchBatches(balls(3), settings, stream=1)[0][0])


@pytest.mark.parametrize("augmentation", ["gentle", "paper"])
def test_patches_carry_their_own_labels(augmentation):
    labels = torch.arange(20 * 18 * 22).reshape(20, 18, 22) // 1320  # six slabs
    example = Example("s", (labels / 8 + 0.1)[None], labels)
    settings = TINY.training.model_copy(update={"augmentation": augmentation, "batch_size": 8})
    images, found = PatchBatches([example], settings)[0]
    n_seen = 0
    for image, label in zip(images, found, strict=True):
        levels = [float(image[label == c].median()) for c in range(1, 7) if (label == c).sum() > 20]
        assert np.all(np.diff(levels) > 0.08)
        n_seen += len(levels)
    assert n_seen > 16


def test_dice_is_that_of_the_formula():
    truth = torch.tensor([[[0, 0, 1, 1, 1, 2]]])
    found = np.array([[[0, 1, 1, 1, 2, 2]]])
    example = Example("s", torch.zeros(1, 1, 1, 6), truth)
    table = evaluate(lambda _: found, [example], ["a", "b", "c", "absent"])
    slow = [
        2 * np.sum((found == c) & (truth.numpy() == c)) / (np.sum(found == c) + np.sum(truth.numpy() == c))
        for c in range(3)
    ]
    assert np.allclose(table.loc["s", ["a", "b", "c"]].to_numpy(float), slow)
    assert np.isnan(table.loc["s", "absent"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_saved_model_is_the_trained_one(dtype, tmp_path):
    network = build_network(TINY, seed=2).to(dtype).float().eval()
    save_model(tmp_path / "model", TINY.description(), network, dtype)
    model = load_model(tmp_path / "model", device="cpu")
    image = torch.rand(1, 1, 16, 16, 16)
    with torch.no_grad():
        assert torch.equal(model.network(image), network(image))
    assert model.class_names == ("background", "ball")
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"model.yaml", "model.safetensors"}


def test_a_phantom_at_another_spacing_is_refused():
    with pytest.raises(UsageError, match="made at the spacing"):
        phantom_example("p", make_phantom(0, 8.0), CTPreprocessing(4.0))


def test_a_phantom_is_preprocessed_as_a_scan_is():
    (example,) = phantom_examples([0], CTPreprocessing(8.0))
    phantom = make_phantom(0, 8.0)
    expected = (np.clip(phantom.hu, -1024, 1024) + 1024) / 2048
    assert np.allclose(example.image[0].numpy(), expected, atol=1e-6)
    assert np.array_equal(example.labels.numpy(), phantom.labels)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"training": {"n_steps": 0}}, "training.n_steps: 0; allowed: 1 or more"),
        ({"training": {"learning_rate": -1}}, "training.learning_rate: -1"),
        ({"training": {"epochs": 3}}, "training.epochs: 'epochs'; allowed: window_shape, n_steps"),
        ({"data": {"kind": "photos"}}, "data.kind: 'photos'; allowed: phantoms, totalsegmentator"),
        (
            {"data": {"kind": "phantoms", "training": {"first": -1, "n": 1}}},
            "data.training.first: -1; allowed: 0",
        ),
        ({"windows": {"shape": [16, 16]}}, "windows.shape: [16, 16]; allowed: 3 values"),
        ({"network": {}}, "network.name: nothing"),
        ({"network": {"name": "UNet", "depth": 3}}, "network.depth: 'depth'; allowed: name, arguments"),
    ],
)
def test_a_wrong_setting_is_named(change, named, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump({**TINY.model_dump(mode="json"), **change}))
    with pytest.raises(UsageError, match=re.escape(named)):
        read_config(path)


@pytest.mark.parametrize("text", ["a: [", "just words", ""])
def test_a_file_that_is_no_configuration_is_refused(text, tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"wrong\.yaml"):
        read_config(path)


@pytest.mark.parametrize(
    "name",
    [
        "thorax_phantom",
        "unet",
        "unetr",
        "unet_small",
        "unetr_small",
        "swin_unetr_v2_small",
        "swin_unetr_v1_small",
    ],
)
def test_the_network_of_a_packaged_configuration_takes_its_windows(name):
    config = read_config(name)
    with nullcontext() if name.startswith("swin") else torch.device("meta"):  # Swin looks at its numbers
        network = build_network(config, 0).eval().to("meta")
    for shape in (config.windows.shape, config.training.window_shape):
        assert network(torch.zeros(1, 1, *shape, device="meta")).shape == (1, 17, *shape)


def test_the_swin_configurations_differ_in_version_and_start_alone():
    for size in ("", "_small"):
        second, first, started = (read_config(f"swin_unetr_{v}{size}") for v in ("v2", "v1", "v1_ssl"))
        assert {**second.network.arguments, "use_v2": False} == first.network.arguments
        assert first.network.arguments == started.network.arguments
        assert started.network.pretrained is not None
        assert first.training == second.training == started.training


@pytest.mark.parametrize(
    "network", [{"name": "NoNet"}, {"name": "UNet", "arguments": {"legs": 4}}, {"name": "__file__"}]
)
def test_a_network_that_monai_does_not_know_is_refused(network):
    wrong = TINY.model_copy(update={"network": NetworkSettings(**network)})
    with pytest.raises(UsageError, match="network"):
        build_network(wrong, 0)


def test_every_packaged_configuration_is_valid_and_its_phantoms_are_disjoint():
    nets = {"swin_unetr_v2", "swin_unetr_v1", "swin_unetr_v1_ssl", "unetr", "unet"}
    assert set(packaged_configs()) == {"thorax_phantom", *nets, *(f"{net}_small" for net in nets)}
    for name in packaged_configs():
        config = read_config(name)
        if isinstance(config.data, PhantomData):
            parts = [config.data.training, config.data.validation, config.data.test]
            seeds = [seed for part in parts for seed in part.seeds]
            assert len(seeds) == len(set(seeds))


def test_scans_of_a_tree_are_read_once_and_are_the_phantoms(tmp_path):
    tree, cache = tmp_path / "tree", tmp_path / "cache"
    list(write_tree("training", tree, n=2, spacing_mm=8.0))
    table = (tree / "meta.csv").read_text().splitlines()
    table[2] = table[2].replace(";train;", ";val;")
    (tree / "meta.csv").write_text("\n".join(table))
    config = TINY.model_copy(
        update={
            "data": TreeData(folder=tree),
            "class_names": THORAX_CLASSES,
            "preprocessing": CTSettings(spacing_mm=8.0),
        }
    )
    assert [example.scan_id for example in examples_of(config, "training", cache)[:]] == ["s0001"]
    validation = examples_of(config, "validation", cache)
    member = members("training", 2)[1]
    phantom = make_phantom(member.seed, 8.0, member.case)
    expected = phantom_example("s0002", phantom, CTPreprocessing(8.0))
    for _ in range(2):
        assert validation[0].scan_id == "s0002"
        assert torch.allclose(validation[0].image, expected.image, atol=1e-6)
        assert torch.equal(validation[0].labels, expected.labels)
        (tree / "s0002" / "ct.nii.gz").unlink(missing_ok=True)
    with pytest.raises(UsageError, match="no scan in the split test"):
        examples_of(config, "test", cache)


def test_a_loss_that_is_no_number_ends_the_training_and_spoils_nothing(tmp_path):
    train(retold(n_steps=6), balls(2), balls(1), tmp_path, device="cpu")
    broken = [Example("s", torch.full((1, 16, 16, 16), float("nan")), torch.ones(16, 16, 16).long())]
    with pytest.raises(UsageError, match="no number at update 1"):
        train(retold(seed=8), broken, balls(1), tmp_path / "other", device="cpu")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "arguments",
    [["nowhere.yaml", "--out", "m"], ["thorax_phantom", "--evaluate", "nowhere"], ["thorax_phantom"], []],
)
def test_wrong_use_of_the_command_is_one_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


class TestShippedModel:
    def test_it_is_as_described(self):
        model = load_model("thorax_phantom", device="cpu")
        assert model.class_names == THORAX_CLASSES
        assert model.windows.shape == read_config("thorax_phantom").windows.shape

    def test_its_description_is_what_the_command_writes(self):
        folder = files("agg2exp_core.data") / "thorax_phantom"
        assert (
            yaml.safe_load((folder / "model.yaml").read_text()) == read_config("thorax_phantom").description()
        )
        assert len((folder / "model.safetensors").read_bytes()) < 3e6

    def test_it_segments_an_unseen_phantom(self):
        model = load_model("thorax_phantom", device="cpu")
        (example,) = phantom_examples([300_001], CTPreprocessing(4.0))
        dice = evaluate(lambda image: predict(model, image).labels, [example], model.class_names)
        structures = dice.drop(columns="background").iloc[0]
        assert structures.mean() > 0.85
        assert structures.min() > 0.6

    def test_it_is_monais_sliding_window(self):
        model = load_model("thorax_phantom", device="cpu")
        (example,) = phantom_examples([300_001], CTPreprocessing(4.0))
        with torch.no_grad():
            logits = sliding_window_inference(
                example.image[None], model.windows.shape, 1, model.network, model.windows.overlap, "gaussian"
            )
        same = predict(model, example.image).labels == logits[0].argmax(dim=0).numpy()
        assert same.mean() > 0.9999
