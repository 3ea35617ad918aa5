"""Models that come with the package."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from agg2exp_cli.demo import ALIASES
from agg2exp_core import load_model, predict
from agg2exp_core.models import PACKAGED_MODELS
from agg2exp_core.phantom import make_phantom
from agg2exp_core.training import phantom_example, read_config

UNSEEN = 210_000


def folder_of(name):
    return Path(str(files("agg2exp_core.data") / name))


@pytest.mark.parametrize("name", PACKAGED_MODELS)
def test_they_segment_a_phantom_that_they_have_not_seen(name):
    """One window in the middle of the chest, to save time."""
    model = load_model(name, "cpu")
    assert (model.name, model.dtype) == (name, torch.float32)
    example = phantom_example("unseen", make_phantom(UNSEEN, 4.0), model.preprocessing)
    box = tuple(
        slice((n - w) // 2, (n + w) // 2) for n, w in zip(example.labels.shape, (64, 64, 64), strict=True)
    )
    found, truth = predict(model, example.image[:, *box]).labels, example.labels[box].numpy()
    dice = [
        2 * np.sum((found == c) & (truth == c)) / (np.sum(found == c) + np.sum(truth == c))
        for c in np.unique(truth)
        if np.sum(truth == c) > 500
    ]
    assert len(dice) > 10
    assert np.mean(dice) > 0.9


@pytest.mark.parametrize("name", PACKAGED_MODELS)
def test_they_are_small_and_what_their_configuration_says(name):
    folder = folder_of(name)
    assert (folder / "model.safetensors").stat().st_size < 10e6
    assert yaml.safe_load((folder / "model.yaml").read_text()) == read_config(name).description()
    assert "Not for patients" in (folder / "MODEL_CARD.md").read_text()


def test_the_swin_unetr_is_stored_in_half_precision_and_known_by_a_short_name():
    name = ALIASES["swin"]
    stored = load_file(folder_of(name) / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16, torch.int64}
    loaded = load_model(name, "cpu").network.state_dict()
    assert all(torch.equal(loaded[key], value.to(loaded[key].dtype)) for key, value in stored.items())
