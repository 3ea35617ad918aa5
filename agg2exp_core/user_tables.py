"""Texts and tables that people wrote: by hand, by Excel, by a database; taken as they are written."""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from agg2exp_core.errors import UsageError

NO_NUMBER = ("na", "n/a", "nan", "none", "null", "-", "--", ".", "?", "unknown", "missing", "#n/a")
"""What people write in place of a number that they do not have; in a column of words these are words."""
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_WINDOWS = "cp1252"
_SEPARATORS = ",;\t|"
_POINT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?(\d+,?\d*|,\d+)([eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
"""One thousand, or one with three decimals: who wrote it knows."""
_DATES = ("%Y-%m-%d", "%d.%m.%Y", "%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y")


def read_text(path: Path, option: str) -> str:
    """Return the text of a file: Unicode in any of its forms, else what Windows writes in western Europe.

    Raises
    ------
    UsageError
        If it cannot be read, or is no text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise wrong_table(option, f"{path}: {error.strerror or error}", "a file that can be read") from None
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise wrong_table(option, f"{path}: a workbook of Excel or an archive", "a table saved as CSV")
    known = [encoding for mark, encoding in _MARKS.items() if content.startswith(mark)]
    for encoding in known or ("utf-8", _WINDOWS):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" not in text:
            return unicodedata.normalize("NFC", text)
    raise wrong_table(option, f"{path}: bytes that are no text", "text in UTF-8")


def read_cells(path: Path, option: str) -> pd.DataFrame:
    """Return the cells of a table as their texts, without blanks around them; NaN where a cell is empty.

    Commas, semicolons, tabs or bars separate them, whichever makes most columns of the heading. Columns and
    rows without any text are left out.

    Raises
    ------
    UsageError
        If it cannot be read, a heading comes twice, or a row has more cells than there are headings.
    """
    text = read_text(path, option)
    first, _, rest = text.partition("\n")
    told = re.fullmatch(r"sep=(.)\s*", first)  # the way to tell Excel
    if told:
        text = rest
    separator = told[1] if told else max(_SEPARATORS, key=lambda mark: len(_cells(first, mark)[0]))
    try:
        heading, *rows = _cells(text, separator)
    except csv.Error as error:
        raise wrong_table(option, f"{path}: {error}", "a CSV table") from None
    filled = [len(row) - next((n for n, cell in enumerate(reversed(row)) if cell), len(row)) for row in rows]
    names = heading[: max([len(heading), *filled])]
    for number, (row, n) in enumerate(zip(rows, filled, strict=True), start=2):
        if n > len(heading):
            got = (
                f"{path}: {n} cells in row {number}, and {len(heading)} headings: {separator.join(row)[:60]}"
            )
            raise wrong_table(option, got, f"a cell for each heading, separated by {separator!r}")
    frame = pd.DataFrame(
        [[*row, *[""] * len(names)][: len(names)] for row in rows], columns=range(len(names)), dtype=object
    )
    frame = frame.mask(frame == "").dropna(how="all")
    kept = [n for n, name in enumerate(names) if name or frame[n].notna().any()]
    frame = frame[kept].set_axis([names[n] or f"column {n + 1}" for n in kept], axis=1)
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise wrong_table(
            option, f"{path}: the heading {twice[0]!r} twice", "a name of its own for each column"
        )
    return frame.reset_index(drop=True)


def _cells(text: str, separator: str) -> list[list[str]]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    return [[cell.strip() for cell in row] for row in lines] or [[""]]


def id_column(columns: Sequence[str], names: Sequence[str]) -> str:
    """Return which of the columns has one of some names, whatever its case and blanks; else the first."""
    known = {re.sub(r"[\s_-]+", "_", column.lower()): column for column in reversed(columns)}
    return next((known[name] for name in names if name in known), columns[0])


def numbers_of(cells: pd.Series) -> pd.Series | None:
    """Return a column of texts as numbers, or None if it holds anything else.

    A comma is a decimal comma where no number has a point and one of them cannot be meant otherwise; NaN
    stands for an empty cell, and for a word of `NO_NUMBER`.
    """
    texts = cells[cells.notna() & ~cells.astype(str).str.lower().isin(NO_NUMBER)].astype(str)
    if texts.map(lambda text: bool(_POINT.fullmatch(text))).all():
        plain = texts
    elif texts.map(lambda text: bool(_COMMA.fullmatch(text))).all() and not _ambiguous(texts):
        plain = texts.str.replace(",", ".", regex=False)
    else:
        return None
    values = plain.map(float).astype("float64")
    return values.reindex(cells.index) if values.map(math.isfinite).all() else None


def _ambiguous(texts: pd.Series) -> bool:
    return bool(
        texts[texts.str.contains(",", regex=False)].map(lambda text: bool(_GROUPED.fullmatch(text))).all()
    )


def dates_of(cells: pd.Series) -> pd.Series | None:
    """Return a column of texts as dates, or None if it holds anything else, or day and month are not sure."""
    texts = cells.dropna().astype(str).str.replace(r"[T ]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?Z?$", "", regex=True)
    if texts.empty or not texts.str.match(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}$").all():
        return None
    read = [pd.to_datetime(texts, format=form, errors="coerce") for form in _DATES]
    whole = [dates for dates in read if dates.notna().all()]
    return whole[0].reindex(cells.index) if len(whole) == 1 else None


def wrong_table(option: str, got: str, allowed: str) -> UsageError:
    """Return the error for a file of a user's that cannot be used."""
    return UsageError(option, got=got, allowed=allowed, remedy="check the path, and correct the file")
