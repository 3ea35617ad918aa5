"""Which scores find poor segmentations of phantoms: ``python -m benchmarks.failure_detection OUT``.

Makes the cohorts `reference`, `hospital` and `failures` with their planted failures (4 mm), explains them
with the packaged model (SmoothGrad of few samples, matrices alone), compares its predictions with the truth,
and tells how well each outlier detector and each plain sign finds the scans with a poor segmentation. Then
corrupts some reference scans, and tells how near the predicted Dice is and how often its bound holds. What is
there already is not computed again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import xarray as xr
from rich.console import Console
from rich.table import Table

from agg2exp_core.analysis import DETECTORS, OutlierSettings, cohort_of, read_dice
from agg2exp_core.analysis.agreement import MEANS, agreement
from agg2exp_core.analysis.detection import detection, trust
from agg2exp_core.analysis.outliers import find_outliers, find_uncertain
from agg2exp_core.errors import ScanError
from agg2exp_core.labels import THORAX_CLASSES, readable
from agg2exp_core.models import load_model
from agg2exp_core.phantom import members
from agg2exp_core.pipeline.evidence import evidence_of
from agg2exp_core.pipeline.settings import AnalyseSettings
from agg2exp_core.prediction import predict
from agg2exp_core.quality import fit_maps, fit_margins
from agg2exp_core.quality.calibration import CLEAN, predict_dice
from agg2exp_core.training import Example, evaluate, examples_of, read_config
from agg2exp_core.training.config import TreeData

LABEL = "smoothgrad_few"
MODEL = "thorax_phantom"
SPACING_MM = 4.0
RATE = 0.05
"""Share of good scans that each score may flag."""
N_CALIBRATING = 8
"""Reference scans that are corrupted."""
LETTERS = {"log_ratio": "S", "isolation_forest": "F", "entropy": "E", "uncertainty": "U", "volume": "V"}
"""Of the signs in the table of severities."""


@dataclass(frozen=True, eq=False)
class Signs:
    """What may tell poor segmentations of a cohort, and its truth.

    Parameters
    ----------
    values : dict of str to DataArray with dimensions (scan, target)
        By name; each grows with suspicion.
    flagged : dict of str to DataArray with dimension (scan)
        Whether the scan's mean is as high as in a share `RATE` of the reference at most.
    dice : DataArray with dimensions (scan, target)
        Of the structures; NaN where one is neither there nor predicted.
    """

    values: dict[str, xr.DataArray]
    flagged: dict[str, xr.DataArray]
    dice: xr.DataArray


def make(out: Path, cohort: str, n: int | None, n_samples: int) -> None:
    """Write a cohort of phantoms, its matrices and its Dice."""
    scans, store, dice = out / cohort, out / "stores" / cohort, out / f"dice_{cohort}.csv"
    if len(list(scans.glob("*/ct.nii.gz"))) < len(members(cohort, n)):
        more = [] if n is None else ["--n", str(n)]
        _agg2exp("phantom", cohort, "--out", str(scans), "--spacing", str(SPACING_MM), *more)
    method = ["--set", f"n_samples={n_samples}", "--label", LABEL, "--no-voxels"]
    _agg2exp("explain", str(scans), "--model", MODEL, "--out", str(store), *method)
    if not dice.exists():
        _dice(scans).to_csv(dice, index_label="scan")


def _agg2exp(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "agg2exp_cli", *words], check=False)
    if done.returncode not in (0, 3):  # 3: some scans were refused, as they should be
        raise SystemExit(done.returncode)


def _dice(scans: Path) -> pd.DataFrame:
    """Return Dice of the packaged model, a row a scan and a column a structure."""
    model = load_model(MODEL, "cpu")
    with tempfile.TemporaryDirectory() as cache:
        data = TreeData(folder=scans, complete=False)
        config = read_config(MODEL).model_copy(update={"data": data})
        examples = examples_of(config, "test", cache)
        found = evaluate(lambda image: predict(model, image).labels, _usable(examples), THORAX_CLASSES)
    return found.drop(columns=THORAX_CLASSES[0])


def _usable(examples: Sequence[Example]) -> Iterator[Example]:
    """Yield the scans that are not refused."""
    for number in range(len(examples)):
        try:
            example = examples[number]
        except ScanError:
            continue
        yield example


def calibrate(out: Path) -> Path:
    """Corrupt reference scans; return the folder of what was learnt."""
    scans = sorted((out / "reference").glob("*/ct.nii.gz"))[:N_CALIBRATING]
    folder, dice = out / "calibration", str(out / "dice_reference.csv")
    _agg2exp("calibrate", *map(str, scans), "--model", MODEL, "--out", str(folder), "--dice", dice)
    return folder


def trust_table(out: Path, cohort: str, poor: float) -> pd.DataFrame:
    """Return how near predicted Dice is to the truth, and how often its bound holds: of scans and classes."""
    store, quality = str(out / "stores" / cohort), str(out / "calibration" / "quality.json")
    evidence = evidence_of(AnalyseSettings(store=store, label=LABEL, quality=quality))
    assert evidence.predicted is not None
    told = trust(evidence.predicted, read_dice(out / f"dice_{cohort}.csv", THORAX_CLASSES), poor)
    return told.set_index("class").tail(2)


def left_out_table(rows: pd.DataFrame, coverage: float, poor: float) -> pd.DataFrame:
    """Return how often bounds hold for a kind of corruption that calibration did not see, a row a kind.

    Parameters
    ----------
    rows : DataFrame
        As calibration measured them: `corruption`, `class`, `soft_dice`, `n_voxels`, `dice`.
    coverage : float
        At which bounds should hold.
    poor : float
        Dice under which a segmentation is poor.
    """
    found, parts = {}, []
    for kind in sorted(set(rows["corruption"]) - {CLEAN}):
        is_kind = rows["corruption"] == kind
        seen, new = rows[~is_kind], rows[is_kind & rows["dice"].notna()]
        maps, margins = fit_maps(seen), fit_margins(seen, coverage=coverage, poor=poor)
        told = predict_dice(maps, margins, new.assign(scan=range(len(new))))
        told = told.assign(truth=new["dice"].to_numpy())
        found[kind] = _held(told, poor)
        parts.append(told)
    found["all kinds"] = _held(pd.concat(parts), poor)
    return pd.DataFrame.from_dict(found, orient="index").rename_axis("left out")


def _held(told: pd.DataFrame, poor: float) -> dict[str, float]:
    bounded = told[told["lower"].notna()]
    is_poor = bounded["truth"] < poor
    return {
        "n": len(told),
        "n_outside": int(told["outside"].sum()),
        "error": float((told["dice"] - told["truth"]).abs().mean()),
        "width": float((bounded["dice"] - bounded["lower"]).mean()),
        "n_poor": int(is_poor.sum()),
        "coverage_poor": float((bounded["lower"] <= bounded["truth"])[is_poor].mean()),
    }


def signs_of(out: Path, cohort: str, seed: int = 0) -> Signs:
    """Return the scores of all detectors beside the reference, and the plain signs of the store."""
    reference = str(out / "stores" / "reference")
    settings = AnalyseSettings(store=str(out / "stores" / cohort), label=LABEL, reference=reference)
    evidence = evidence_of(settings)
    known = evidence_of(AnalyseSettings(store=reference, label=LABEL, reference=reference))
    new, usual = cohort_of(evidence.local), cohort_of(known.local)
    values, flagged = {}, {}
    for name in DETECTORS:
        found = find_outliers(new, usual, OutlierSettings(detector=name, rate=RATE, seed=seed))
        values[name], flagged[name] = found["score"], found["flagged"]
    for name, sign in evidence.signs.items():
        # one number a scan stands for all of its classes
        ours, theirs = (
            one if "target" in one.dims else one.expand_dims(target=list(new.targets), axis=1)
            for one in (sign, known.signs[name])
        )
        values[name] = ours
        flagged[name] = find_uncertain(ours, theirs, RATE)["unsure"]
    dice = read_dice(out / f"dice_{cohort}.csv", THORAX_CLASSES)
    return Signs(values, flagged, dice)


def detection_table(signs: Signs, poor: float) -> pd.DataFrame:
    """Return how well each sign finds the scans of which the mean Dice is under `poor`, a row a sign."""
    rows = detection(signs.values, signs.dice, poor)
    table = rows[rows["unit"] == "scan"].set_index("sign").drop(columns=["unit", "threshold"])
    table["auroc_in_class"] = rows[rows["unit"] == "within class"].set_index("sign")["auroc"]
    mean = signs.dice.mean("target")
    for name, sign in signs.values.items():
        told = agreement(sign, signs.dice).set_index("class").loc[MEANS]
        flag, dice = xr.align(signs.flagged[name], mean)
        table.loc[name, "spearman"] = told["spearman"]
        table.loc[name, "flagged_poor"] = int((flag & (dice < poor)).sum())
        table.loc[name, "flagged_good"] = int((flag & (dice >= poor)).sum())
    return table


def severity_table(signs: Signs, failures: pd.DataFrame) -> pd.DataFrame:
    """Return mean Dice and the letters of the signs that flag, a row a failure and a column a severity."""
    mean = signs.dice.mean("target")
    cells: dict[Hashable, str] = {}
    for cell, group in failures.groupby(["failure", "severity"]):
        known = [scan for scan in group.index if scan in signs.flagged["log_ratio"]["scan"]]
        refused = len(group) - len(known)
        told = [f"{float(mean.sel(scan=known).mean()):.2f}"] if known else []
        for name, letter in LETTERS.items():
            n = int(signs.flagged[name].sel(scan=known).sum())
            told += [letter if len(known) == 1 else f"{letter}{n}"] if n else []
        cells[cell] = " ".join([*told, *["refused"] * (refused > 0)])
    return pd.Series(cells).unstack(fill_value="")


def failures_in(cohort: str, n: int | None) -> pd.DataFrame:
    """Return `failure` and `severity` of the scans of a cohort; without one, what the patient has."""
    rows = {
        one.scan_id: (one.case.failure, one.case.severity)
        if one.case.failure
        else (", ".join(["none", *one.case.pathologies]), 0.0)
        for one in members(cohort, n)
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["failure", "severity"])


def show(title: str, table: pd.DataFrame) -> None:
    """Print a table."""
    shown = Table(str(table.index.name or ""), *map(str, table.columns), title=title)
    for name, row in table.iterrows():
        cells = (f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row)
        shown.add_row(readable(str(name)), *cells)
    Console(width=140).print(shown)


def main() -> None:
    """Make the cohorts that are not there, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failure_detection", description=__doc__)
    parser.add_argument("out", type=Path, help="folder for scans, stores and tables")
    parser.add_argument("--n", type=int, help="scans of each cohort; by default its own number")
    parser.add_argument("--n-samples", type=int, default=2, help="of SmoothGrad")
    parser.add_argument("--poor", type=float, default=0.85, help="mean Dice under which a scan is poor")
    given = parser.parse_args()
    for cohort in ("reference", "hospital", "failures"):
        make(given.out, cohort, given.n, given.n_samples)
    for cohort in ("hospital", "failures"):
        signs = signs_of(given.out, cohort)
        show(
            f"{cohort}: finding scans with a mean Dice under {given.poor:g}",
            detection_table(signs, given.poor),
        )
        show(
            f"{cohort}: mean Dice, and what flags ({', '.join(f'{b} {a}' for a, b in LETTERS.items())})",
            severity_table(signs, failures_in(cohort, given.n)),
        )
    folder = calibrate(given.out)
    for cohort in ("hospital", "failures"):
        show(f"{cohort}: predicted Dice", trust_table(given.out, cohort, given.poor))
    rows = pd.concat([pd.read_csv(path) for path in sorted((folder / "scans").glob("*.csv"))])
    show("bounds at 90% for a kind of corruption that was left out", left_out_table(rows, 0.9, given.poor))


if __name__ == "__main__":
    main()
