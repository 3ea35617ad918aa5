"""What a user brings: metadata, Dice, reports, each checked where it comes in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from agg2exp_core.errors import out_of_range
from agg2exp_core.user_tables import id_column, numbers_of, read_cells, read_text, wrong_table

_BY_CLASS = {"class", "dice"}
"""Columns of a table with a row per scan and class."""
_SCAN_COLUMNS = ("scan", "scan_id", "patient", "image_id")


def read_metadata(path: Path) -> pd.DataFrame:
    """Return texts indexed by scan: the column scan, scan_id, patient or image_id, or the first.

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
        raise wrong_table("--dice", f"{path} without a column of a class", allowed)
    values = {column: _dice(frame[column]) for column in known}
    others = [column for column in frame if column not in known and column not in _SCAN_COLUMNS]
    return xr.DataArray(
        np.array(list(values.values())).T,
        {"scan": frame.index.to_numpy(str), "target": [columns[column] for column in known]},
        ("scan", "target"),
        attrs={"not_read": others},
    )


def _dice(cells: pd.Series) -> pd.Series:
    """Return a column as numbers; names its first cell that is no Dice."""
    for scan, cell in cells.dropna().items():
        number = numbers_of(pd.Series([cell]))
        if number is None or not number.dropna().between(0, 1).all():
            raise out_of_range(f"--dice: {cells.name} of {scan}", cell, "0 to 1, or nothing")
    values = numbers_of(cells)
    if values is None:
        got = "numbers with a point and numbers with a comma"
        raise out_of_range(f"--dice: {cells.name}", got, "0 to 1, or nothing")
    return values


def read_reports(path: Path) -> Mapping[str, str]:
    """Return texts by scan id from a JSON object.

    Raises
    ------
    UsageError
        If it is no such object.
    """
    try:
        reports = json.loads(read_text(path, "--reports"))
    except ValueError as error:
        raise wrong_table("--reports", f"{path}: {error}", "a JSON object") from None
    if not isinstance(reports, dict) or not all(isinstance(text, str) for text in reports.values()):
        allowed = 'a JSON object of scan ids and texts: {"s0001": "..."}'
        raise wrong_table("--reports", f"{path} with something else", allowed)
    return {scan.strip(): text for scan, text in reports.items()}


def _wide(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return a row per scan and a column per class from a row per scan and class."""
    twice = frame.reset_index().duplicated(["scan", "class"])
    if twice.any():
        models = frame["model"].nunique() if "model" in frame else 1
        got = f"{path} with {models} models" if models > 1 else f"{path} with a scan and class twice"
        raise wrong_table("--dice", got, "one Dice for each scan and class, of one model")
    return frame.set_index("class", append=True)["dice"].unstack()


def _read_csv(path: Path, option: str) -> pd.DataFrame:
    """Return the texts of a table, indexed by scan; a row without an id is refused, and an id twice."""
    frame = read_cells(path, option)
    if frame.empty or len(frame.columns) < 2:
        got = f"{path} with {len(frame)} rows and {len(frame.columns)} columns"
        allowed = "a CSV table, with commas or semicolons: ids of scans and at least one other column"
        raise wrong_table(option, got, allowed)
    column = id_column(list(frame.columns), _SCAN_COLUMNS)
    nameless = np.flatnonzero(frame[column].isna())
    if len(nameless):
        raise wrong_table(option, f"{path}: row {nameless[0] + 2} without {column}", "an id in each row")
    frame = frame.set_index(column).rename_axis("scan")
    by_class = option == "--dice" and set(frame.columns) >= _BY_CLASS
    if not frame.index.is_unique and not by_class:
        twice = frame.index[frame.index.duplicated()][0]
        raise wrong_table(option, f"the scan {twice} more than once", "a row per scan")
    return frame
