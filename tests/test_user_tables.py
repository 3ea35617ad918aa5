"""Tables as people save them: what is read is what they see in front of them."""

import pandas as pd
import pytest

from agg2exp_core.errors import UsageError
from agg2exp_core.user_tables import dates_of, id_column, numbers_of, read_cells, read_text

ROWS = [["scan", "Größe", "note"], ["0012", "1,5", "None"], ["0013", "2,25", ""]]


def saved(tmp_path, rows, separator=";", newline="\r\n", encoding="utf-8", end=""):
    path = tmp_path / "table.csv"
    text = newline.join(separator.join(row) for row in rows) + newline + end
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_encoding_and_separator_change_nothing(tmp_path, encoding, separator):
    frame = read_cells(saved(tmp_path, ROWS, separator, encoding=encoding), "--metadata")
    assert list(frame) == ROWS[0]
    assert frame.loc[0].tolist() == ROWS[1]
    assert pd.isna(frame.loc[1, "note"])


def test_what_excel_adds_is_left_out(tmp_path):
    """A line that names the separator, blanks around cells, empty columns, rows of separators alone."""
    rows = [["sep=;"], ["scan ", " age", "", ""], [" a", "4 ", "", ""], ["", "", "", ""]]
    frame = read_cells(saved(tmp_path, rows), "--metadata")
    assert frame.to_dict("list") == {"scan": ["a"], "age": ["4"]}


def test_quoted_cells_hold_separators_and_line_ends(tmp_path):
    frame = read_cells(saved(tmp_path, [["id", "text"], ["1", '"one, two\r\nthree"']], ","), "--metadata")
    assert frame.loc[0, "text"] == "one, two\r\nthree"


def test_names_in_two_forms_of_unicode_are_one(tmp_path):
    path = saved(tmp_path, [["id", "x"], ["Mu\u0308ller", "1"]])
    assert read_cells(path, "--metadata").loc[0, "id"] == "M\u00fcller"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"PK\x03\x04 and more", "workbook of Excel"),
        (b"id,age,age\n1,2,3\n", "heading 'age' twice"),
        (b"id,age\n1,2\n2,3,4\n", "3 cells in row 3, and 2 headings"),
        (b"a\x00b", "no text"),
        (None, "No such file"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(tmp_path, content, named):
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=named) as raised:
        read_cells(path, "--metadata")
    assert str(raised.value).startswith("--metadata: ")
    assert len(str(raised.value).splitlines()) == 1


def test_json_of_windows_is_read(tmp_path):
    path = tmp_path / "reports.json"
    path.write_bytes(b"\xef\xbb\xbf" + '{"a": "Erguß"}'.encode())
    assert read_text(path, "--reports") == '{"a": "Erguß"}'


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1", "-2.5", "3e-4", None], [1, -2.5, 3e-4, None]),
        (["1,5", "2", "0,923"], [1.5, 2, 0.923]),
        (["61", "NA", "n/a", "nan", "None"], [61, None, None, None, None]),
        (["1,234", "2,345"], None),  # thousands, or three decimals?
        (["1,5", "2.5"], None),
        (["1", "<2"], None),
        (["inf", "1"], None),
        (["0012", "a"], None),
        ([None, None], [None, None]),
    ],
)
def test_numbers_are_read_where_all_are(texts, expected):
    found = numbers_of(pd.Series(texts, dtype=object))
    if expected is None:
        assert found is None
    else:
        pd.testing.assert_series_equal(found, pd.Series(expected, dtype="float64"))


@pytest.mark.parametrize(
    ("texts", "first"),
    [
        (["2024-03-01", "2023-12-31 08:15:00"], "2024-03-01"),
        (["01.03.2024", "31.12.2023"], "2024-03-01"),
        (["13/01/2024", "02/01/2024"], "2024-01-13"),
        (["01/13/2024", "02/01/2024"], "2024-01-13"),
        (["01/02/2024", "03/04/2024"], None),  # of two continents
        (["3.5", "4.5"], None),
        (["2024-03-01", "soon"], None),
    ],
)
def test_dates_are_read_where_day_and_month_are_sure(texts, first):
    found = dates_of(pd.Series(texts))
    assert (found is None) if first is None else (found[0] == pd.Timestamp(first))


def test_the_column_of_ids_is_found_by_its_name():
    assert id_column(["age", "Scan ID"], ("scan", "scan_id")) == "Scan ID"
    assert id_column(["age", "sex"], ("scan",)) == "age"
