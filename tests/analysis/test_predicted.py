"""With a calibration an analysis foretells Dice, lists the worst first, and names what it cannot say."""

import io

import numpy as np
import pandas as pd
import pytest
import torch

from agg2exp.tasks.analyse import find
from agg2exp_core.errors import UsageError
from agg2exp_core.pipeline.analyse import flagged_scans
from agg2exp_core.pipeline.settings import AnalyseSettings
from agg2exp_core.quality import QualityMap
from agg2exp_core.quality.calibration import ClassMap
from agg2exp_core.types import Grid, Prediction, Scan
from tests.analysis.example import CLASSES, LABEL, ODD, matrices, write_store

OLD = "s0002"
"""A scan that an earlier release segmented."""
IDENTITY = ClassMap(soft_dice=(0.2, 1.0), dice=(0.2, 1.0), usual=0.95, least_voxels=100, most_voxels=200)


@pytest.fixture
def store(tmp_path):
    store = write_store(tmp_path / "store", matrices(12, seed=1, odd=(ODD,)))
    store.register_model({"name": "net", "fingerprint": "abc", "class_names": list(CLASSES)})
    ones, grid = np.ones((1, 1, 2), np.float32), Grid((1, 1, 2), np.eye(4))
    for scan in map(str, store.importance(LABEL)["scan"].values):
        soft_dice = dict.fromkeys(CLASSES, 0.9) | ({"heart": 0.5} if scan == ODD else {})
        doubt = {"entropy": dict.fromkeys(CLASSES, 0.1)}
        if scan != OLD:
            doubt |= {"soft_dice": soft_dice, "n_voxels": dict.fromkeys(CLASSES, 150.0)}
        image = torch.zeros(1, 1, 1, 2)
        store.scan(scan).write_image(Scan(scan, image, grid.affine, grid, scan))
        store.scan(scan).write_prediction(Prediction(ones.astype(np.uint8), CLASSES, ones, ones, doubt), "p")
    return store


def write_quality(path, model="abc"):
    quality = QualityMap(
        model=model,
        model_name="net",
        coverage=0.9,
        poor=0.85,
        n_scans=5,
        corruptions={"noise": [1.0]},
        scaled=False,
        classes=dict.fromkeys(CLASSES[1:], IDENTITY),
        margins=(0.2, 0.1, 0.1, 0.1),
    )
    path.write_text(quality.model_dump_json())
    return str(path)


def test_the_worst_scan_comes_first_with_its_organ_and_bound(store, tmp_path):
    quality = write_quality(tmp_path / "quality.json")
    settings = AnalyseSettings(store=store.uri, label=LABEL, quality=quality, rate=0.2)
    summary = find.fn(settings)
    first = summary["triage"][0]
    assert (first["scan"], first["class"]) == (ODD, "heart")
    assert first["sentence"] == "heart: about 0.50, probably above 0.40"
    assert "ribs" in first["why"]
    assert OLD in summary["skipped"]["predicted_dice"]
    table = pd.read_csv(io.BytesIO(store.read_file(f"{settings.folder}/predicted_dice.csv")))
    assert table.columns.tolist() == ["scan", "class", "predicted_dice", "lower", "outside"]
    assert len(table) == 11 * (len(CLASSES) - 1)
    flagged = {row["scan"]: row["quality"] for row in flagged_scans(store, settings.folder)}
    assert "heart: about 0.50" in flagged[ODD]
    candidates = pd.read_csv(io.BytesIO(store.read_file(f"{settings.folder}/candidates.csv")))
    assert "heart: about 0.50" in candidates.set_index("scan").loc[ODD, "quality"]


def test_with_dice_the_prediction_is_judged(store, tmp_path):
    scans = [str(scan) for scan in store.importance(LABEL)["scan"].values]
    rng, path = np.random.default_rng(2), tmp_path / "dice.csv"
    dice = pd.DataFrame(rng.uniform(0.85, 0.95, (len(scans), len(CLASSES))), scans, list(CLASSES))
    dice.loc[ODD, "heart"] = 0.3
    dice.to_csv(path, index_label="scan")
    quality = write_quality(tmp_path / "quality.json")
    settings = AnalyseSettings(store=store.uri, label=LABEL, quality=quality, dice=str(path), rate=0.2)
    find.fn(settings)
    trust = pd.read_csv(io.BytesIO(store.read_file(f"{settings.folder}/trust.csv"))).set_index("class")
    assert trust.loc["heart", ["n", "n_poor", "coverage_poor"]].tolist() == [11, 1, 0.0]
    assert trust.loc["aorta", "error"] == pytest.approx(0.025, abs=0.02)
    found = pd.read_csv(io.BytesIO(store.read_file(f"{settings.folder}/detection.csv")))
    told = set(found["sign"])
    assert {"score", "soft_dice_loss", "predicted_loss", "volume", "composition"} <= told
    assert set(found["unit"]) == {"scan", "within class", "scan and class"}


def test_a_calibration_of_another_model_is_refused(store, tmp_path):
    quality = write_quality(tmp_path / "quality.json", model="other")
    with pytest.raises(UsageError, match="--quality"):
        find.fn(AnalyseSettings(store=store.uri, label=LABEL, quality=quality))
