"""Models beside each other on scans without a truth: how far they agree, and where they part."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from agg2exp_core.errors import UsageError
from agg2exp_core.files import whole_file
from agg2exp_core.labels import BACKGROUND
from agg2exp_core.pipeline.outcomes import Rejected, ScanJob, reason_of
from agg2exp_core.pipeline.own_grid import segment_volume
from agg2exp_core.quality import dice_of
from agg2exp_core.types import Grid, LabelVolume, SegmentationModel
from agg2exp_core.volumes import read_volume

Progress = Callable[[int, int], None]
"""Told the scans done and their total."""
FILE = "between_models.csv"


@dataclass(frozen=True, eq=False)
class Between:
    """How far models agree.

    Parameters
    ----------
    table : DataFrame
        A row per pair of models, scan and class: `model`, `other`, `scan`, `class`, `dice` (between the two;
        NaN where neither finds the class), `ml`, `other_ml` (volumes in millilitres), and the largest
        connected part of which the two differ: `part_ml`, and `x`, `y`, `z`, the voxel of the scan's file
        that is nearest to its middle.
    alone : dict of str to list of str
        Classes of a model that no other has, by its name: they are left out.
    rejected : list of Rejected
        Scans that could not be used, each with its reason.
    """

    table: pd.DataFrame
    alone: dict[str, list[str]]
    rejected: list[Rejected]


def compare_without_truth(
    models: Sequence[SegmentationModel],
    scans: Sequence[ScanJob],
    out: Path,
    progress: Progress = lambda done, total: None,
) -> Between:
    """Segment scans by each model, compare the models in pairs on the scan's own grid, and write the table.

    Classes are matched by name, whatever their order; models may have any preprocessing.

    Raises
    ------
    UsageError
        If there are fewer than two models, two have one name, no class is common, or no scan can be used.
    """
    names = [model.name for model in models]
    if len(set(names)) < max(2, len(models)):
        raise UsageError(
            "models",
            got=f"the names {', '.join(names)}",
            allowed="two models or more with different names",
            remedy="name others, or change `name` in their model.yaml",
        )
    owners = pd.Series([c for model in models for c in model.class_names]).value_counts()
    common = [c for c in models[0].class_names if owners[c] == len(models) and c != BACKGROUND]
    if not common:
        raise UsageError(
            "models",
            got="no structure that all of them segment",
            allowed="models with classes of the same names",
            remedy="name others",
        )
    rows: list[dict[str, object]] = []
    rejected = []
    for number, scan in enumerate(scans, start=1):
        try:
            volume = read_volume(scan.path)
            maps = {m.name: _common_labels(segment_volume(volume, m)[0], m, common) for m in models}
            rows += list(_rows(scan.scan_id, maps, common, volume.grid))
        except Exception as error:  # whatever befalls one scan, the others go on
            rejected.append(Rejected(scan.scan_id, reason_of(error, scan.scan_id, scan.path)))
        progress(number, len(scans))
    if not rows:
        raise UsageError(
            "--without-truth",
            got=f"no scan that can be used ({rejected[0].reason})" if rejected else "no scan",
            allowed="scans that the models take",
            remedy="name others",
        )
    table = pd.DataFrame(rows)
    with whole_file(out / FILE, make_folder=True) as partial:
        table.to_csv(partial, index=False)
    alone = {m.name: [c for c in m.class_names if c not in (*common, BACKGROUND)] for m in models}
    return Between(table, {name: classes for name, classes in alone.items() if classes}, rejected)


def _common_labels(labels: LabelVolume, model: SegmentationModel, common: Sequence[str]) -> LabelVolume:
    """Return labels by place in `common`, from 1; all other classes are 0."""
    places = [common.index(name) + 1 if name in common else 0 for name in model.class_names]
    return np.array(places, np.uint16)[labels]


def _rows(
    scan_id: str, maps: Mapping[str, LabelVolume], common: Sequence[str], grid: Grid
) -> Iterator[dict[str, object]]:
    for (name, found), (other, theirs) in itertools.combinations(maps.items(), 2):
        dice = dice_of(found, theirs, len(common) + 1)
        for index, class_name in enumerate(common, start=1):
            ours, other_ones = found == index, theirs == index
            yield {
                "model": name,
                "other": other,
                "scan": scan_id,
                "class": class_name,
                "dice": dice[index],
                "ml": ours.sum() * grid.voxel_ml,
                "other_ml": other_ones.sum() * grid.voxel_ml,
                **_largest(ours != other_ones, grid),
            }


def _largest(differs: np.ndarray, grid: Grid) -> dict[str, float]:
    """Return the volume of the largest connected part, and the voxel of it that is nearest to its middle."""
    parts, n = ndimage.label(differs)
    if not n:
        return {"part_ml": 0.0, "x": np.nan, "y": np.nan, "z": np.nan}
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    voxels = np.argwhere(parts == sizes.argmax())
    middle = voxels[np.abs(voxels - voxels.mean(axis=0)).sum(axis=1).argmin()]
    x, y, z = (float(at) for at in middle)
    return {"part_ml": float(sizes.max()) * grid.voxel_ml, "x": x, "y": y, "z": z}
