"""What of a hospital's table was used, and what not, in words; a table of other scans is refused."""

import pandas as pd
import pytest

from agg2exp_core.analysis.groups import comparable, compare_groups
from agg2exp_core.analysis.joining import matched
from agg2exp_core.errors import UsageError

SCANS = [f"{n:04d}" for n in range(40)]


def test_scans_without_a_row_are_named_and_rows_without_a_scan_counted():
    said = matched("--metadata", [*SCANS[:38], "Jane Doe"], SCANS)
    assert said == (
        "matched 38 of 40 scans (not found: 0038, 0039); 1 of its 39 ids are of no scan of the store"
    )
    assert matched("--dice", SCANS, SCANS) == "matched 40 of 40 scans"


def test_a_row_for_each_of_few_scans_is_meant():
    assert matched("--dice", SCANS[:3], SCANS).startswith("matched 3 of 40 scans (not found: 0003, ")


@pytest.mark.parametrize(
    ("ids", "named"),
    [
        (["x", "y"], "matched 0 of 40 scans"),
        ([str(int(scan)) for scan in SCANS], "zeros in front"),  # as a spreadsheet leaves them
        ([f"{scan}.nii.gz" for scan in SCANS], "an ending"),
        ([*SCANS[:2], *map(str, range(100, 200))], "--partial if so few are meant"),
    ],
)
def test_ids_that_are_written_differently_are_refused(ids, named):
    with pytest.raises(UsageError, match="--metadata: matched") as raised:
        matched("--metadata", ids, SCANS)
    assert named in str(raised.value)
    assert "199" not in str(raised.value)  # ids of a hospital's table may be those of patients


def test_few_are_taken_where_they_are_meant():
    assert matched("--metadata", [*SCANS[:2], *map(str, range(100, 200))], SCANS, partial=True)


def test_each_column_is_compared_or_said_to_be_left_out():
    frame = pd.DataFrame(
        {
            "pathology": ["None"] * 34 + ["tumour"] * 6,
            "bmi": [f"{20 + n % 7},5" for n in range(40)],
            "scanned": [f"{1 + n % 28:02d}.01.2024" for n in range(40)],
            "dose": ["<5", *map(str, range(39))],
            "ward": "A",
            "free": None,
            "age": ["NA", *map(str, range(40, 79))],
        },
        index=SCANS,
        dtype=object,
    )
    kept, told = comparable(frame, set(SCANS))
    assert list(kept) == ["pathology", "bmi", "scanned", "age"]
    assert told == [
        "column dose left out: 40 different words, which may name people",
        "column ward left out: the same in all scans",
        "column free left out: empty",
        "column age: 1 of 40 scans without a value",
    ]
    table = compare_groups({scan: n >= 34 for n, scan in enumerate(SCANS)}, frame).set_index(
        ["column", "test"]
    )
    assert table.loc[("pathology", "Fisher exact"), "other"] == "None: 34"
    assert table.loc[("pathology", "Fisher exact"), "p_value"] < 1e-5
    assert table.loc[("scanned", "Welch t"), "other"].startswith("mean 2024-01-1")
    assert table.loc[("bmi", "Welch t"), "flagged"].startswith("mean 2")
