"""The series of imported scans, found again by their keyed hash: no list says which is whose."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from agg2exp_core.dicom import IdentityKey, Rules, Stack, group, read_headers, stack
from agg2exp_core.errors import ScanError
from agg2exp_core.intake.ledger import kind_and_place
from agg2exp_core.intake.sources import Source, listed
from agg2exp_core.volumes.discovery import EXTENSIONS


def find_series(
    source: Source, key: IdentityKey, rules: Rules, wanted: Container[str]
) -> Iterator[tuple[str, Stack | ScanError]]:
    """Yield scan ids and their series, each of which is on this machine until the next is asked for.

    In place of a series that the source lists and does not hand out stands why; the others go on.

    Parameters
    ----------
    source : Source
        Where scans came from.
    key : IdentityKey
        With which they were imported.
    rules : Rules
        Which series were wanted.
    wanted : container of str
        Scan ids that are looked for.

    Raises
    ------
    StoreError
        If the source does not answer.
    """
    for unit in listed(source):
        whose = source.whose(unit)
        expected = None if whose is None else key.scan_id(*whose)
        if expected is not None and expected not in wanted:
            continue
        try:
            with source.fetch(unit) as files:
                yield from _series_among(files, key, rules, wanted)
        except Exception as error:
            if expected is not None:
                yield expected, _not_handed_out(expected, error)


def _series_among(
    files: Sequence[Path], key: IdentityKey, rules: Rules, wanted: Container[str]
) -> Iterator[tuple[str, Stack]]:
    headers, _ = read_headers(path for path in files if not path.name.endswith(EXTENSIONS))
    for series in group(headers):
        of = series.headers[0].identity
        scan_id = key.scan_id(of.patient_id, of.study_uid, of.series_uid)
        if scan_id in wanted:
            try:
                slices = stack(series, rules)
            except ScanError:  # a series that was not imported either
                continue
            yield scan_id, slices


def _not_handed_out(scan_id: str, error: Exception) -> ScanError:
    return ScanError(
        scan_id,
        got=kind_and_place(error),
        allowed="a source that hands out the series that it lists",
        remedy="it is tried again the next time",
    )
