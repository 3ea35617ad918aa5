"""The map finds a monotone relation, and its bound holds among poor segmentations of kinds it did not see."""

import json

import numpy as np
import pandas as pd
import pytest

from agg2exp_core.errors import UsageError
from agg2exp_core.quality import QualityMap, fit_maps, fit_margins, read_quality


def make_rows(seed, n_scans=12, kinds=("clean", "a", "b", "c", "d")):
    """Dice is the square of soft Dice in class `thick`, and a tenth less in `thin`; a little noise."""
    rng = np.random.default_rng(seed)
    rows = []
    for scan in range(n_scans):
        for kind in kinds:
            for name, less in (("thick", 0.0), ("thin", 0.1)):
                soft = rng.uniform(0.97, 0.99) if kind == "clean" else rng.uniform(0.5, 0.99)
                dice = 1.0 if kind == "clean" else np.clip(soft**2 - less + rng.normal(0, 0.02), 0, 1)
                rows.append((f"s{scan}", kind, name, soft, float(rng.integers(900, 1100)), dice))
    columns = ["scan", "corruption", "class", "soft_dice", "n_voxels", "dice"]
    return pd.DataFrame(rows, columns=columns)


def make_quality(rows, known=None):
    return QualityMap(
        model="f",
        model_name="net",
        coverage=0.9,
        poor=0.85,
        n_scans=12,
        corruptions={"a": [1.0]},
        scaled=known is not None,
        classes=fit_maps(rows, known),
        margins=fit_margins(rows, coverage=0.9, poor=0.85),
    )


def test_dice_is_foretold_and_bounded_among_the_poor():
    quality = make_quality(make_rows(1))
    new = make_rows(2, 60, kinds=("unseen",))
    told = quality.predict(new[["scan", "class", "soft_dice", "n_voxels"]])
    assert told[["scan", "class"]].equals(new[["scan", "class"]])
    assert np.abs(told["dice"] - new["dice"]).mean() < 0.03
    bounded = (new["dice"] < 0.85) & ~told["outside"]
    assert (told["lower"] <= new["dice"])[bounded].mean() >= 0.85
    assert (told["dice"] - told["lower"]).max() < 0.2
    for _, group in told.assign(soft=new["soft_dice"]).groupby("class"):
        assert group.sort_values("soft")["dice"].is_monotonic_increasing


def test_known_dice_scales_and_what_was_not_seen_has_no_bound():
    quality = make_quality(make_rows(1), pd.Series({"thick": 0.8}))
    assert quality.classes["thin"].scale == 1.0
    cases = [
        ("a", "thick", 0.98, 1000),
        ("b", "thick", 0.1, 1000),
        ("c", "thick", 0.9, 1),
        ("d", "nose", 0.9, 9),
    ]
    told = quality.predict(pd.DataFrame(cases, columns=["scan", "class", "soft_dice", "n_voxels"]))
    assert told["scan"].tolist() == ["a", "b", "c"]
    assert told["outside"].tolist() == told["lower"].isna().tolist() == [False, True, True]
    assert told["dice"][0] == pytest.approx(0.8, abs=0.02)
    assert told["usual"][0] <= 0.8


def test_it_is_read_as_it_was_written(tmp_path):
    quality, path = make_quality(make_rows(1)), tmp_path / "quality.json"
    path.write_text(quality.model_dump_json())
    assert read_quality(path) == quality
    path.write_text(json.dumps({"model": "f"}))
    with pytest.raises(UsageError, match=r"quality\.json"):
        read_quality(path)
    with pytest.raises(UsageError, match="--quality"):
        read_quality(tmp_path / "nowhere.json")


def test_without_a_poor_segmentation_nothing_is_learnt():
    with pytest.raises(UsageError, match="no poor segmentation"):
        fit_margins(make_rows(1, kinds=("clean",)), coverage=0.9, poor=0.85)
