"""The scans with the lowest predicted Dice come first, with the class that falls shortest and its reason."""

import numpy as np
import pandas as pd

from agg2exp_core.analysis.triage import triage

PREDICTED = pd.DataFrame(
    [
        ("good", "heart", 0.93, 0.85, 0.94, False),
        ("good", "pulmonary_vein", 0.70, 0.55, 0.72, False),
        ("bad", "heart", 0.71, 0.58, 0.94, False),
        ("bad", "pulmonary_vein", 0.69, 0.54, 0.72, False),
        ("strange", "heart", 0.30, np.nan, 0.94, True),
    ],
    columns=["scan", "class", "dice", "lower", "usual", "outside"],
)


def test_the_worst_come_first_with_the_class_that_falls_shortest():
    why = pd.DataFrame(
        [("bad", "aorta", "aorta was not found"), ("bad", "heart", "ribs matter"), ("good", "aorta", "fat")],
        columns=["scan", "class", "sentence"],
    )
    listed = triage(PREDICTED, why).set_index("scan")
    assert listed.index.tolist() == ["strange", "bad", "good"]
    assert listed["class"].tolist() == ["heart", "heart", "pulmonary_vein"]
    assert listed.loc["bad", "sentence"] == "heart: about 0.71, probably above 0.58"
    assert "no bound" in listed.loc["strange", "sentence"]
    assert listed["why"].to_dict() == {"strange": "", "bad": "ribs matter", "good": "fat"}


def test_without_reasons_or_predictions_nothing_is_made_up():
    assert triage(PREDICTED, None)["why"].eq("").all()
    assert triage(PREDICTED.iloc[:0], None).empty
