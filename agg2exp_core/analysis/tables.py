"""What a user brings: metadata, Dice, reports, each checked where it comes in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from agg2exp_core.errors import UsageError, out_of_range

_BY_CLASS = {"class", "dice"}
"""Columns of a table with a row per scan and class."""
_SCAN_COLUMNS = ("scan", "scan_id", "patient", "image_id")


def read_metadata(path: Path) -> pd.DataFrame:
    """Return a table indexed by scan: the column scan, scan_id, patient or image_id, or the first.

    Raises
    ------
    UsageError
        If it cannot be read, is empty, or has an id twice.
    """
    return _read_csv(path, "--metadata")


def read_dice(path: Path, class_names: Iterable[str]) -> xr.DataArray:
    """Return Dice (scan, target) from a table with a row per scan, or with one per scan and class.

    Columns are classes, or CLASS_dice as of the paper's table; or scan, class and dice, as those of one model
    in the ``scores.csv`` of `compare-models`.

    Raises
    ------
    UsageError
        If it cannot be read, has no column of a class, holds what is no Dice, or tells of several models.
    """
    names = list(class_names)
    frame = _read_csv(path, "--dice")
    if set(frame.columns) >= _BY_CLASS:
        frame = _wide(frame, path)
    columns = {f"{name}_dice" if f"{name}_dice" in frame else name: name for name in names}
    known = [column for column in columns if column in frame]
    if not known:
        allowed = f"columns {names[0]} or {names[0]}_dice, and so on"
        raise _wrong_table("--dice", f"{path} without a column of a class", allowed)
    values = frame[known].apply(pd.to_numeric, errors="coerce")
    bad = (values < 0) | (values > 1) | (values.isna() & frame[known].notna())
    if bad.to_numpy().any():
        cells = bad.stack()
        scan, column = cells[cells].index[0]
        raise out_of_range(f"--dice: {column} of {scan}", frame.loc[scan, column], "0 to 1, or nothing")
    return xr.DataArray(
        values.to_numpy(np.float64),
        {"scan": values.index.to_numpy(str), "target": [columns[column] for column in known]},
        ("scan", "target"),
    )


def read_reports(path: Path) -> Mapping[str, str]:
    """Return texts by scan id from a JSON object.

    Raises
    ------
    UsageError
        If it is no such object.
    """
    try:
        reports = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise _unreadable("--reports", path, error) from None
    if not isinstance(reports, dict) or not all(isinstance(text, str) for text in reports.values()):
        allowed = 'a JSON object of scan ids and texts: {"s0001": "..."}'
        raise _wrong_table("--reports", f"{path} with something else", allowed)
    return reports


def _wide(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return a row per scan and a column per class from a row per scan and class."""
    twice = frame.reset_index().duplicated(["scan", "class"])
    if twice.any():
        models = frame["model"].nunique() if "model" in frame else 1
        got = f"{path} with {models} models" if models > 1 else f"{path} with a scan and class twice"
        raise _wrong_table("--dice", got, "one Dice for each scan and class, of one model")
    return frame.set_index("class", append=True)["dice"].unstack()


def _read_csv(path: Path, option: str) -> pd.DataFrame:
    try:
        with path.open() as file:
            heading = file.readline()
        separator = ";" if heading.count(";") > heading.count(",") else ","
        columns = pd.read_csv(path, sep=separator, nrows=0).columns
        column = next((name for name in _SCAN_COLUMNS if name in columns), columns[0])
        frame = pd.read_csv(path, sep=separator, dtype={column: str})
    except (OSError, ValueError) as error:
        raise _unreadable(option, path, error) from None
    if frame.empty or len(frame.columns) < 2:
        got = f"{path} with {len(frame)} rows and {len(frame.columns)} columns"
        allowed = "a CSV table, with commas or semicolons: ids of scans and at least one other column"
        raise _wrong_table(option, got, allowed)
    frame = frame.set_index(frame[column].astype(str)).drop(columns=column).rename_axis("scan")
    by_class = option == "--dice" and set(frame.columns) >= _BY_CLASS
    if not frame.index.is_unique and not by_class:
        twice = frame.index[frame.index.duplicated()][0]
        raise _wrong_table(option, f"the scan {twice} more than once", "a row per scan")
    return frame


def _unreadable(option: str, path: Path, error: Exception) -> UsageError:
    return _wrong_table(option, f"{path}: {' '.join(str(error).split())[:200]}", "a file that can be read")


def _wrong_table(option: str, got: str, allowed: str) -> UsageError:
    return UsageError(option, got=got, allowed=allowed, remedy="check the path, and correct the file")
