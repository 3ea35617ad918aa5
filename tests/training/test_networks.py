"""Weights of a Swin encoder in the published layout of names."""

import pickle

import pytest
import torch
from monai.networks.nets import SwinUNETR, UNet
from safetensors.torch import save_file

from agg2exp_core.errors import ModelError
from agg2exp_core.training import build_network, read_config
from agg2exp_core.training.networks import load_encoder

SMALL = {"in_channels": 1, "out_channels": 2, "feature_size": 12, "depths": (1, 1, 1, 1), "window_size": 4}


def published(seed: int) -> dict[str, torch.Tensor]:
    """An encoder's weights, named as in the published file, with heads of pre-training beside them."""
    torch.manual_seed(seed)
    state = SwinUNETR(**SMALL).swinViT.state_dict()
    renamed = {
        f"module.{name.replace('linear1', 'fc1').replace('linear2', 'fc2')}": torch.randn_like(value)
        if value.is_floating_point()
        else value
        for name, value in state.items()
    }
    return renamed | {
        "module.rotation_head.weight": torch.zeros(4, 192),
        "module.norm.weight": torch.zeros(192),
    }


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "model_swinvit.pt"
    torch.save({"epoch": 3, "state_dict": published(0), "optimizer": {"state": {}, "param_groups": []}}, path)
    return path


def test_they_are_what_monais_own_loader_makes_of_them(weights):
    ours, theirs = SwinUNETR(**SMALL), SwinUNETR(**SMALL)
    assert load_encoder(ours, weights) == len(ours.swinViT.state_dict())
    theirs.load_from({"state_dict": published(0)})
    expected = theirs.swinViT.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in ours.swinViT.state_dict().items())


def test_the_convolutions_of_version_2_stay(weights):
    network = SwinUNETR(**SMALL, use_v2=True)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    n_loaded = load_encoder(network, weights)
    changed = {n for n, v in network.state_dict().items() if not torch.equal(v, before[n])}
    assert 0 < len(changed) <= n_loaded
    assert all(name.startswith("swinViT.") and "c.0." not in name for name in changed)


def test_a_training_begins_with_them(weights):
    config = read_config("swin_unetr_v1_small")
    network = config.network.model_copy(update={"pretrained": weights})
    built = build_network(config.model_copy(update={"network": network}), 0)
    expected = published(0)["module.patch_embed.proj.weight"]
    assert torch.equal(built.swinViT.patch_embed.proj.weight, expected)


def test_safetensors_serve_too(tmp_path):
    path = tmp_path / "encoder.safetensors"
    save_file(SwinUNETR(**SMALL).swinViT.state_dict(), path)
    assert load_encoder(SwinUNETR(**SMALL), path) > 0


@pytest.mark.parametrize(
    ("network", "named"),
    [
        (lambda: UNet(3, 1, 2, (4, 8), (2,)), "UNet"),
        (lambda: SwinUNETR(**{**SMALL, "feature_size": 24}), "shape"),
        (lambda: SwinUNETR(**{**SMALL, "depths": (2, 1, 1, 1)}), r"layers1\.0\.blocks\.1"),
    ],
)
def test_weights_of_another_network_are_refused(network, named, weights):
    with pytest.raises(ModelError, match=named):
        load_encoder(network(), weights)


def test_code_in_a_file_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps({"state_dict": Evil()}))
    with pytest.raises(ModelError, match="cannot be read"):
        load_encoder(SwinUNETR(**SMALL), path)
    assert not (tmp_path / "ran").exists()
