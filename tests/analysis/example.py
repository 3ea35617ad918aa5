"""A small cohort of matrices with known oddities, as stores, and its findings as files."""

import json
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from agg2exp.tasks.analyse import find
from agg2exp_core.importance import global_importance
from agg2exp_core.pipeline.settings import AnalyseSettings
from agg2exp_core.store import Store, open_store
from agg2exp_core.types import Grid, Prediction, Scan

CLASSES = ("background", "aorta", "heart", "lung_lower_lobe_left", "ribs", "trachea")
LABEL = "smoothgrad"
ODD = "s0003"
"""The scan of the store whose attribution lies elsewhere."""
LACKS_TRACHEA = "s0005"
_CENTRES = np.array(
    [
        [0.86, 0.02, 0.03, 0.04, 0.04, 0.01],
        [0.70, 0.08, 0.12, 0.05, 0.04, 0.01],
        [0.68, 0.06, 0.15, 0.06, 0.04, 0.01],
        [0.66, 0.03, 0.08, 0.15, 0.07, 0.01],
        [0.80, 0.02, 0.02, 0.06, 0.09, 0.01],
        [0.74, 0.06, 0.05, 0.10, 0.03, 0.02],
    ]
)


def matrices(n_scans: int, *, seed: int, first: int = 0, odd: tuple[str, ...] = ()) -> xr.Dataset:
    """Local matrices of scans like each other; those of `odd` look for the heart in the ribs."""
    rng = np.random.default_rng(seed)
    scans = [f"s{first + n:04d}" for n in range(n_scans)]
    shares = _CENTRES * np.exp(0.12 * rng.normal(size=(n_scans, *_CENTRES.shape)))
    for n, scan in enumerate(scans):
        if scan in odd:
            shares[n, CLASSES.index("heart"), CLASSES.index("ribs")] *= 12
    shares /= shares.sum(axis=2, keepdims=True)
    if LACKS_TRACHEA in scans:
        lacks = scans.index(LACKS_TRACHEA)
        shares[lacks, CLASSES.index("trachea")] = np.nan
        shares[lacks, :, CLASSES.index("trachea")] = np.nan
    sizes = np.array([50_000, 800, 2500, 4000, 1500, 200])
    n_voxels = np.rint(sizes * np.exp(0.1 * rng.normal(size=(n_scans, len(CLASSES))))).astype(int)
    n_voxels[np.isnan(shares[:, 0])] = 0
    inner = np.where(np.array(CLASSES) == "background", np.nan, shares)
    volume = n_voxels / n_voxels.sum(axis=1, keepdims=True)
    cube = ("scan", "target", "roi")
    return xr.Dataset(
        {
            "mass": (cube, shares),
            "mass_without_background": (cube, inner / np.nansum(inner, axis=2, keepdims=True)),
            "signed": (cube, shares * rng.choice([-1, 1], size=shares.shape) * 0.5),
            "mean": (cube, shares / np.maximum(n_voxels, 1)[:, None]),
            "concentration": (cube, shares / np.maximum(volume, 1e-9)[:, None]),
            "n_voxels": (("scan", "roi"), n_voxels),
        },
        {
            "scan": scans,
            "target": list(CLASSES),
            "roi": list(CLASSES),
            "roi_kind": ("roi", ["class"] * len(CLASSES)),
        },
    )


def write_store(folder: Path, local: xr.Dataset) -> Store:
    """A store that holds these matrices and nothing else."""
    store = open_store(folder, create=True)
    store.register_label(LABEL, "smoothgrad", {"n_samples": 20})
    store.write_importance(LABEL, local, global_importance(local))
    return store


def write_doubts(store: Store, unsure: tuple[str, ...] = ()) -> None:
    """Predictions of two voxels whose entropies, 0.1 to 0.2 nats, are alike but for the unsure scans'."""
    scans = [str(scan) for scan in store.importance(LABEL)["scan"].values]
    for n, scan in enumerate(scans):
        entropy = dict.fromkeys(CLASSES, 0.9 if scan in unsure else 0.1 + 0.1 * n / len(scans))
        image, grid = torch.zeros(1, 1, 1, 2), Grid((1, 1, 2), np.eye(4))
        ones = np.ones(grid.shape, np.float32)
        store.scan(scan).write_image(Scan(scan, image, grid.affine, grid, f"{store.uri} {scan}"))
        prediction = Prediction(ones.astype(np.uint8), CLASSES, ones, ones, {"entropy": entropy})
        store.scan(scan).write_prediction(prediction, "p" * 64)


def write_files(folder: Path, local: xr.Dataset) -> dict[str, str]:
    """Metadata, Dice and reports of the scans; the odd one is poorly segmented and says why."""
    rng = np.random.default_rng(5)
    scans = [str(scan) for scan in local["scan"].values]
    meta = ["scan,age,sex", *(f"{s},{50 + int(rng.integers(30))},{'FM'[n % 2]}" for n, s in enumerate(scans))]
    rows = [",".join(["scan", *CLASSES])]
    for scan in scans:
        dice = np.where(scan == ODD, 0.5, 0.95) - 0.02 * rng.random(len(CLASSES))
        rows.append(",".join([scan, *(f"{value:.3f}" for value in dice)]))
    texts = dict.fromkeys(scans, "no effusion, heart of normal size")
    texts[ODD] = "large pleural effusion, heart displaced"
    contents = {"meta.csv": "\n".join(meta), "dice.csv": "\n".join(rows), "reports.json": json.dumps(texts)}
    for name, text in contents.items():
        (folder / name).write_text(text)
    return {name.split(".")[0]: str(folder / name) for name in contents}


def write_cohorts(folder: Path) -> tuple[Store, Store, dict[str, str]]:
    """Stores `store` (12 scans) and `reference` (24), and the files beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    local = matrices(12, seed=1, odd=(ODD,))
    store = write_store(folder / "store", local)
    reference = write_store(folder / "reference", matrices(24, seed=2, first=100))
    return store, reference, write_files(folder, local)


def write_example(folder: Path) -> Store:
    """The cohorts with the findings of all analyses."""
    store, reference, files = write_cohorts(folder)
    settings = AnalyseSettings(
        store=store.uri,
        label=LABEL,
        reference=reference.uri,
        metadata=files["meta"],
        dice=files["dice"],
        reports=files["reports"],
    )
    find.fn(settings)
    return store
