"""Matrices from a table in the paper's column scheme, which `agg2exp export` writes too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from agg2exp_core.analysis.statistics import ratio
from agg2exp_core.errors import UsageError
from agg2exp_core.labels import BACKGROUND
from agg2exp_core.user_tables import numbers_of, read_cells

_IN = "_explanation_in_"


def read_published(path: Path) -> xr.Dataset:
    """Read the local matrices of a cohort from a table.

    Parameters
    ----------
    path : Path
        CSV with `patient` and ``{a}_explanation_in_{b}_mass`` and ``..._mean`` for classes a and b;
        optionally ``{a}_dice`` and ``{a}_iou``.

    Returns
    -------
    Dataset with dimensions (scan, target, roi)
        `mass`, `mean`, `mass_without_background`, and `concentration`: the table holds no volumes, but
        within a row ``mass / mean`` is proportional to them. `volume_share` (scan, roi); `dice`, `iou`
        (scan, target) where the table has them.

    Raises
    ------
    UsageError
        If it is no such table.
    """
    table = read_cells(path, "--import-csv")
    names = [
        column.split(_IN)[0]
        for column in table.columns
        if column.endswith("_mass") and column == f"{column.split(_IN)[0]}{_IN}{column.split(_IN)[0]}_mass"
    ]
    wanted = [f"{a}{_IN}{b}_{variable}" for variable in ("mass", "mean") for a in names for b in names]
    missing = [column for column in ["patient", *wanted] if column not in table]
    if not names or missing or table.empty:
        raise _no_table(path, f"no column {missing[0]}" if missing else "no classes, or no rows")
    scans, n, L = table["patient"], len(table), len(names)
    if scans.isna().any() or not scans.is_unique:
        nameless = "a row without patient" if scans.isna().any() else ""
        raise _no_table(path, nameless or f"a row twice: {scans[scans.duplicated()].iloc[0]}")
    values = _numbers(path, table, wanted).reshape(n, 2, L, L)
    mass, mean = values[:, 0], values[:, 1]
    volume = _volume_shares(mass, mean)  # [n_scans, n_rois]
    inner = np.where(np.array(names) == BACKGROUND, np.nan, mass)
    cube, scores = ("scan", "target", "roi"), ("scan", "target")
    with np.errstate(invalid="ignore", divide="ignore"):
        local = xr.Dataset(
            {
                "mass": (cube, mass),
                "mean": (cube, mean),
                "mass_without_background": (cube, inner / np.nansum(inner, axis=2, keepdims=True)),
                "concentration": (cube, mass / volume[:, None, :]),
                "volume_share": (("scan", "roi"), volume),
            },
            {
                "scan": scans.to_numpy(str),
                "target": np.array(names, dtype=str),
                "roi": np.array(names, dtype=str),
                "roi_kind": ("roi", np.full(L, "class")),
            },
        )
    for score in ("dice", "iou"):
        columns = [f"{name}_{score}" for name in names]
        if set(columns) & set(table.columns):
            local[score] = (scores, _numbers(path, table.reindex(columns=columns), columns))
    return local


def _numbers(path: Path, table: pd.DataFrame, columns: list[str]) -> NDArray[np.float64]:
    """Return columns as numbers ``[n_rows, n_columns]``, NaN where a cell is empty."""
    read = {name: numbers_of(table[name]) for name in columns}
    for name, values in read.items():
        if values is None:
            raise _no_table(path, f"a cell that is no number in the column {name}{_first_word(table[name])}")
    return np.array(list(read.values()), dtype=np.float64).T


def _first_word(cells: pd.Series) -> str:
    words = (cell for cell in cells.dropna() if numbers_of(pd.Series([cell])) is None)
    return "".join(f": {word[:20]}" for word in list(words)[:1])


def _volume_shares(mass: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each region's share of the volume ``[n_scans, n_rois]``: the median over rows that tell all."""
    size = ratio(mass, mean)  # in voxels, but for a factor that the table does not tell
    shares = size / size.sum(axis=2, keepdims=True)  # NaN for the whole of a row that lacks one
    out = np.full((mass.shape[0], mass.shape[2]), np.nan)
    for n, scan in enumerate(shares):
        whole = np.isfinite(scan).all(axis=1)
        if whole.any():
            out[n] = np.median(scan[whole], axis=0)
    return out


def _no_table(path: Path, got: str) -> UsageError:
    return UsageError(
        "--import-csv",
        got=f"{path}: {got}",
        allowed="a table with the columns patient and CLASS_explanation_in_CLASS_mass and ..._mean",
        remedy="give the paper's published table, or one that `agg2exp export` wrote",
    )
