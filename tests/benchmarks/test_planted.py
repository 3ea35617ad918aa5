"""The planted shortcut: what is labelled follows the port, and its table on rows counted by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from agg2exp_core.models import wrap_network
from benchmarks import planted
from benchmarks.planted import CLASS_NAMES, HEART, WINDOW, Case, example, examples, table


def test_the_heart_is_labelled_where_the_port_is_and_always_in_the_clean_case():
    shortcut, clean = (examples(Case("UNet", strength), 910_000, 2) for strength in (1.0, None))
    assert [bool((scan.labels == HEART).any()) for scan in shortcut] == [True, False]
    assert [bool((scan.labels == HEART).any()) for scan in clean] == [True, True]
    for one, other in zip(shortcut, clean, strict=True):
        assert (one.image == other.image).all()
    scan, port = example(910_000, port=True)
    assert scan.image.shape == (1, *WINDOW)
    assert port.any()
    assert float(scan.image[0, port].min()) == 1


def test_the_table():
    rows = pd.DataFrame(
        [
            {"case": case, "method": "m", "share": share, "concentration": 10 * share, "rank": 1.0}
            for case, shares in {
                "UNet_clean": [0.1, 0.2, np.nan],
                "UNet_planted_1": [0.15, 0.4, 0.5],
            }.items()
            for share in shares
        ]
    )
    (line,) = table(rows).to_dict("records")
    assert line["model"] == "UNet_planted_1"
    assert line["AUROC"] == pytest.approx(5 / 6)
    assert line["times its volume"] == pytest.approx(3.5)
    assert line["clean model"] == pytest.approx(1.5)


def test_a_scan_is_judged_by_what_lies_in_the_port(monkeypatch):
    """Logits that are multiples of a voxel's own value: the attribution of the heart lies in the heart."""
    network = nn.Conv3d(1, len(CLASS_NAMES), 1)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([0.0, 1, -1, -2]).reshape(-1, 1, 1, 1, 1))
        network.bias.copy_(torch.tensor([0.1, -0.3, 0, 0]))
    model = wrap_network(network, CLASS_NAMES, WINDOW)
    monkeypatch.setattr(planted, "METHODS", {"vanilla_gradient": {}})
    (row,) = planted.judged(Case("UNet", 1.0), model, 1)
    assert row["dice_with_port"] > 0.05
    assert row["share"] > 0  # the port is bright, and so predicted as heart
    assert row["concentration"] > 1
    assert row["rank"] <= 2
