import pytest
import torch

from agg2exp_core import load_model
from agg2exp_core.models.memory_format import with_fast_layout
from agg2exp_core.models.wrapping import fingerprint
from tests.networks import smooth_model


def weight_layouts(network):
    weights = [p for p in network.parameters() if p.dim() == 5 and p.shape[1] > 1]
    return {p.is_contiguous(memory_format=torch.channels_last_3d) for p in weights}


def test_the_packaged_network_has_channels_last_on_a_cpu():
    assert weight_layouts(load_model("thorax_phantom", "cpu").network) == {True}


def test_the_layout_changes_neither_weights_nor_numbers():
    model = smooth_model()
    window = torch.rand(1, 1, 8, 8, 8, dtype=torch.float64)
    before, identity = model.logits(window), fingerprint(model.network, {})
    fast = with_fast_layout(model)
    assert fingerprint(fast.network, {}) == identity
    torch.testing.assert_close(fast.logits(window), before)


@pytest.mark.parametrize("layer", [torch.nn.Linear(3, 3), torch.nn.LayerNorm(3)])
def test_networks_with_other_layers_stay_as_they_are(layer):
    model = smooth_model()
    model.network.append(layer)
    assert with_fast_layout(model) is model
