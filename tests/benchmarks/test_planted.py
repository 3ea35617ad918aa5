"""The planted shortcut: what is labelled follows the port, and its table on rows counted by hand."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.planted import HEART, WINDOW, Case, example, examples, table


def test_the_heart_is_labelled_where_the_port_is_and_always_in_the_clean_case():
    planted, clean = (examples(Case("UNet", strength), 910_000, 2) for strength in (1.0, None))
    assert [bool((scan.labels == HEART).any()) for scan in planted] == [True, False]
    assert [bool((scan.labels == HEART).any()) for scan in clean] == [True, True]
    for one, other in zip(planted, clean, strict=True):
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
