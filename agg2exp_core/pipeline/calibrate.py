"""Learn what a model's doubt says of its Dice: corrupt scans that it handles, and see how far it goes astray.

The segmentation of the clean scan stands for the truth, so that nothing has to be drawn by hand.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from agg2exp_core.analysis import read_dice
from agg2exp_core.errors import ScanError, UsageError
from agg2exp_core.files import whole_file
from agg2exp_core.labels import BACKGROUND
from agg2exp_core.models import load_model
from agg2exp_core.pipeline.outcomes import Rejected, ScanJob, reason_of
from agg2exp_core.pipeline.own_grid import segment_volume
from agg2exp_core.pipeline.settings import CalibrateSettings
from agg2exp_core.quality import CORRUPTIONS, QualityMap, corrupt, dice_of, fit_maps, fit_margins
from agg2exp_core.quality.calibration import CLEAN
from agg2exp_core.random import generator
from agg2exp_core.store import identity
from agg2exp_core.types import LabelVolume, SegmentationModel, Volume
from agg2exp_core.volumes import read_volume

Progress = Callable[[int, int], None]
"""Told the segmentations done and their total."""
FILE = "quality.json"
_DECIMALS = 9


@dataclass(frozen=True)
class Calibrated:
    """What calibration came to.

    Parameters
    ----------
    quality : QualityMap
        As it is written.
    rejected : list of Rejected
        Scans that could not be used, each with its reason.
    n_kept : int
        Scans that an interrupted calibration had finished.
    """

    quality: QualityMap
    rejected: list[Rejected]
    n_kept: int


def calibrate(
    scans: Sequence[ScanJob], settings: CalibrateSettings, progress: Progress = lambda done, total: None
) -> Calibrated:
    """Corrupt scans, segment them, and write ``quality.json``; scans that are done are not done again.

    Raises
    ------
    UsageError
        If no scan can be used, `dice` has none of the classes, or nothing is poor.
    """
    model, folder = load_model(settings.model, settings.device), Path(settings.out)
    if model.decision != "argmax":
        raise UsageError(
            "--model",
            got=f"{model.name}, whose classes lie inside each other",
            allowed="one whose classes exclude each other: only then is there a soft Dice",
            remedy="name another model",
        )
    known = None
    if settings.dice is not None:
        known = read_dice(Path(settings.dice), model.class_names).mean("scan").to_series()
    tables, rejected, n_kept = [], [], 0
    total = len(scans) * (1 + len(CORRUPTIONS) * settings.n_severities)
    for number, scan in enumerate(scans):
        done = number * total // len(scans)
        try:
            table, kept = _of_scan(scan, model, settings, partial(_add_to, progress, done, total))
            tables.append(table)
            n_kept += kept
        except Exception as error:  # whatever befalls one scan, the others go on
            rejected.append(Rejected(scan.scan_id, reason_of(error, scan.scan_id, scan.path)))
    if not tables:
        raise UsageError(
            "SCANS",
            got=f"none that can be used ({rejected[0].scan_id}: {rejected[0].reason})",
            allowed="scans that the model is known to handle",
            remedy="name others",
        )
    progress(total, total)
    rows = pd.concat(tables, ignore_index=True)
    quality = QualityMap(
        model=model.fingerprint,
        model_name=model.name,
        coverage=settings.coverage,
        poor=settings.poor,
        n_scans=len(tables),
        corruptions=dict.fromkeys(CORRUPTIONS, severities(settings.n_severities)),
        scaled=known is not None,
        classes=fit_maps(rows, known),
        margins=fit_margins(rows, coverage=settings.coverage, poor=settings.poor),
    )
    with whole_file(folder / FILE, make_folder=True) as place:
        place.write_text(quality.model_dump_json(indent=1))
    return Calibrated(quality, rejected, n_kept)


def _add_to(progress: Progress, done: int, total: int, n: int) -> None:
    progress(done + n, total)


def severities(n: int) -> list[float]:
    """Return severities up to 1, each half of the next."""
    return [0.5 ** (n - 1 - step) for step in range(n)]


def _of_scan(
    scan: ScanJob, model: SegmentationModel, settings: CalibrateSettings, progress: Callable[[int], None]
) -> tuple[pd.DataFrame, bool]:
    """Return the table of a scan, and whether it was there."""
    volume = read_volume(scan.path)
    steps = severities(settings.n_severities)
    name = identity(
        scan=volume.content_hash,
        model=model.fingerprint,
        corruptions=list(CORRUPTIONS),
        severities=steps,
        seed=settings.seed,
    )
    path = Path(settings.out) / "scans" / f"{scan.scan_id}-{name[:12]}.csv"
    if path.exists():
        return pd.read_csv(path), True
    rows = pd.DataFrame(list(_rows(volume, model, steps, settings.seed, progress)))
    # what is read again must be what was written
    text = rows.round(_DECIMALS).to_csv(index=False)
    with whole_file(path, make_folder=True) as place:
        place.write_text(text)
    return pd.read_csv(io.StringIO(text)), False


def _rows(
    volume: Volume,
    model: SegmentationModel,
    steps: Sequence[float],
    seed: int,
    progress: Callable[[int], None],
) -> Iterator[dict[str, object]]:
    """Yield a row for each corruption, severity and structure that the model finds."""
    truth, doubt = segment_volume(volume, model)
    yield from _told(CLEAN, 0.0, doubt, truth, truth, model.class_names)
    done = 1
    for name in CORRUPTIONS:
        for severity in steps:
            rng = generator("corruption", seed, volume.content_hash, name, severity)
            corrupted, expected = corrupt(volume, truth, name, severity, rng)
            done += 1
            progress(done)
            try:
                found, doubt = segment_volume(corrupted, model)
            except ScanError:  # what is refused never reaches the model, and needs no prediction of its Dice
                continue
            yield from _told(name, severity, doubt, found, expected, model.class_names)


def _told(
    corruption: str,
    severity: float,
    doubt: dict[str, dict[str, float]],
    found: LabelVolume,
    truth: LabelVolume,
    class_names: Sequence[str],
) -> Iterator[dict[str, object]]:
    dice = dice_of(found, truth, len(class_names))
    for index, name in enumerate(class_names):
        if name in doubt["soft_dice"] and name != BACKGROUND:
            yield {
                "corruption": corruption,
                "severity": severity,
                "class": name,
                "soft_dice": doubt["soft_dice"][name],
                "n_voxels": doubt["n_voxels"][name],
                "dice": dice[index],
            }
