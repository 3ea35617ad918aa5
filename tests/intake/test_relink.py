"""Series of scans that were taken in, found again, whatever becomes of those beside them."""

from contextlib import contextmanager

import pytest

from agg2exp_core.dicom import IdentityKey, Rules, Stack, files_in
from agg2exp_core.intake.relink import find_series
from tests.dicom.making import write_series

KEY = IdentityKey("0123456789abcdef0123456789abcdef")
WHOSE = {name: ("Zzmarker", "1.2.3", f"1.2.3.{name}") for name in "123"}
IDS = {name: KEY.scan_id(*whose) for name, whose in WHOSE.items()}


class Failing:
    """A source that lists three series, and does not hand out the first."""

    def __init__(self, root):
        self.root = root

    def listing(self):
        return dict.fromkeys(WHOSE, "whole")

    def whose(self, unit):
        return WHOSE[unit]

    @contextmanager
    def fetch(self, unit):
        if unit == "1":
            raise OSError(f"404 for the address of {WHOSE[unit]}")
        yield files_in(self.root / unit)


@pytest.fixture
def source(tmp_path):
    for name, (patient, study, series) in WHOSE.items():
        write_series(tmp_path / name, PatientID=patient, StudyInstanceUID=study, SeriesInstanceUID=series)
    return Failing(tmp_path)


def test_one_that_is_not_handed_out_does_not_stop_the_others(source):
    found = dict(find_series(source, KEY, Rules(), {IDS["1"], IDS["2"]}))
    assert found.keys() == {IDS["1"], IDS["2"]}
    assert isinstance(found[IDS["2"]], Stack)
    said = str(found[IDS["1"]])
    assert said.startswith(f"{IDS['1']}: OSError at test_relink.py:")
    assert "Zzmarker" not in said
