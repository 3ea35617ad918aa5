"""Training of a tiny network on tiny scans: it learns, it repeats, it can be saved and scored."""

from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import torch
import yaml
from monai.inferers.utils import sliding_window_inference

from agg2exp_core.errors import UsageError
from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.models import load_model
from agg2exp_core.phantom import make_phantom
from agg2exp_core.prediction import predict
from agg2exp_core.training import (
    Example,
    TrainingSettings,
    build_network,
    draw_batch,
    evaluate,
    phantom_example,
    phantom_examples,
    save_model,
    train,
)
from agg2exp_core.training.__main__ import THORAX_PHANTOM, TRAINING_SEEDS, UNSEEN_SEEDS, main
from agg2exp_core.volumes import CTPreprocessing

TINY = {
    "name": "tiny",
    "network": {
        "name": "UNet",
        "arguments": {
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 2,
            "channels": [4, 8],
            "strides": [2],
            "norm": "batch",
        },
    },
    "weights": "model.safetensors",
    "n_channels": 1,
    "class_names": ["background", "ball"],
    "windows": {"shape": [16, 16, 16], "overlap": 0.25, "blend": "gaussian"},
    "preprocessing": {"kind": "ct", "spacing_mm": 4.0, "hu_range": [-1024.0, 1024.0]},
}
SETTINGS = TrainingSettings((16, 16, 16), n_steps=40, batch_size=2, learning_rate=2e-2)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def balls(n: int) -> list[Example]:
    """Bright balls on a dark ground, each somewhere else."""
    random = np.random.default_rng(0)
    index = np.indices((20, 18, 22))
    examples = []
    for i in range(n):
        centre = random.uniform(7, 12, 3)[:, None, None, None]
        inside = ((index - centre) ** 2).sum(axis=0) < 25
        image = 0.2 + 0.5 * inside + random.normal(0, 0.05, inside.shape)
        examples.append(
            Example(f"b{i}", torch.tensor(image, dtype=torch.float32)[None], torch.tensor(inside).long())
        )
    return examples


def trained(settings: TrainingSettings) -> tuple[torch.nn.Module, list[float]]:
    losses: list[float] = []
    network = build_network(TINY, seed=1)
    return train(network, balls(4), settings, lambda step, loss: losses.append(loss)), losses


def test_it_learns_and_ends_in_evaluation_mode():
    network, losses = trained(SETTINGS)
    assert len(losses) == SETTINGS.n_steps
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert not network.training


def test_equal_seeds_give_equal_weights_and_others_do_not():
    short = replace(SETTINGS, n_steps=4)
    first, second, other = (trained(s)[0].state_dict() for s in (short, short, replace(short, seed=1)))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_building_a_network_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_network(TINY, seed=1)
    assert torch.equal(torch.rand(3), expected)


def test_patches_carry_their_own_labels():
    labels = torch.arange(20 * 18 * 22).reshape(20, 18, 22) % 7
    example = Example("s", (labels / 8)[None], labels)
    images, found = draw_batch([example], (16, 24, 16), 8, torch.Generator().manual_seed(0))
    assert images.shape == found.shape == (8, 1, 16, 24, 16)
    for image, label in zip(images, found, strict=True):
        levels = [float(image[label == c].mean()) for c in range(1, 7)]
        assert np.all(np.diff(levels) > 0.08)
        assert float(image.min()) >= 0
        assert float(image.max()) <= 1


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


def test_a_saved_model_is_the_trained_one(tmp_path):
    network, _ = trained(replace(SETTINGS, n_steps=4))
    save_model(tmp_path / "model", TINY, network)
    model = load_model(tmp_path / "model", device="cpu")
    image = torch.rand(1, 1, 16, 16, 16)
    with torch.no_grad():
        assert torch.equal(model.network(image), network(image))
    assert model.class_names == ("background", "ball")
    assert yaml.safe_load((tmp_path / "model" / "model.yaml").read_text()) == TINY


def test_a_phantom_at_another_spacing_is_refused():
    with pytest.raises(UsageError, match="made at the spacing"):
        phantom_example("p", make_phantom(0, 8.0), CTPreprocessing(4.0))


def test_a_phantom_is_preprocessed_as_a_scan_is():
    (example,) = phantom_examples([0], CTPreprocessing(8.0))
    phantom = make_phantom(0, 8.0)
    expected = (np.clip(phantom.hu, -1024, 1024) + 1024) / 2048
    assert np.allclose(example.image[0].numpy(), expected, atol=1e-6)
    assert np.array_equal(example.labels.numpy(), phantom.labels)


@pytest.mark.parametrize("wrong", [{"n_steps": 0}, {"batch_size": 0}, {"learning_rate": -1.0}])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError):
        TrainingSettings(**wrong)


@pytest.mark.parametrize("arguments", [["--out", "m", "--steps", "0"], ["--evaluate", "nowhere"], []])
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
        assert list(model.windows.shape) == THORAX_PHANTOM["windows"]["shape"]
        assert not set(TRAINING_SEEDS) & set(UNSEEN_SEEDS)

    def test_its_description_is_what_the_command_writes(self):
        folder = files("agg2exp_core.data") / "thorax_phantom"
        assert yaml.safe_load((folder / "model.yaml").read_text()) == THORAX_PHANTOM
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
