"""What a user brings: ids stay as they are written, and what cannot be meant is refused."""

import json

import pandas as pd
import pytest

from agg2exp_core.analysis import read_dice, read_metadata, read_reports
from agg2exp_core.analysis.groups import compare_groups
from agg2exp_core.errors import UsageError


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "file"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    "text", ["image_id;age;sex\n0012;60;F\n", "age,patient\n60,0012\n", "id,age\n0012,60\n"]
)
def test_ids_keep_their_zeros_and_both_separators_are_read(write, text):
    frame = read_metadata(write(text))
    assert list(frame.index) == ["0012"]
    assert frame.loc["0012", "age"] == "60"


def test_dice_of_either_heading_and_with_gaps(write):
    dice = read_dice(write("scan,heart_dice,ribs\ns1,0.9,\ns2,1,0.5\n"), ["background", "heart", "ribs"])
    assert dice["target"].values.tolist() == ["heart", "ribs"]
    assert float(dice.sel(scan="s2", target="ribs")) == 0.5
    assert bool(dice.isnull().sel(scan="s1", target="ribs"))


def test_scores_of_one_model_are_dice_too(write):
    rows = ["model,scan,class,dice,iou", "a,01,heart,0.9,0.8", "a,01,ribs,0.7,0.5", "a,02,heart,,"]
    dice = read_dice(write("\n".join(rows)), ["background", "heart", "ribs"])
    assert dice.sel(target="heart").values.tolist() == pytest.approx([0.9, float("nan")], nan_ok=True)
    assert float(dice.sel(scan="01", target="ribs")) == 0.7
    with pytest.raises(UsageError, match="2 models; allowed: one Dice for each scan and class"):
        read_dice(write("\n".join([*rows, "b,01,heart,0.8,0.6"])), ["heart"])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("scan,heart\ns1,1.2\n", "heart of s1: 1.2"),
        ("scan,heart\ns1,good\n", "heart of s1: good"),
        ("scan,spleen\ns1,0.9\n", "without a column of a class"),
        ("scan,heart\ns1,0.9\ns1,0.8\n", "s1 more than once"),
        ("scan\ns1\n", "1 columns"),
        ("", "file"),
    ],
)
def test_a_table_that_is_no_dice_is_refused(write, text, named):
    with pytest.raises(UsageError, match="--dice") as raised:
        read_dice(write(text), ["heart"])
    assert named in str(raised.value)


@pytest.mark.parametrize("content", [["text"], {"s1": 3}])
def test_reports_are_an_object_of_texts(write, content):
    with pytest.raises(UsageError, match="--reports"):
        read_reports(write(json.dumps(content)))
    assert read_reports(write('{"s1": "clear"}')) == {"s1": "clear"}


def test_a_column_of_names_is_not_told():
    ids = [f"s{n}" for n in range(20)]
    frame = pd.DataFrame({"name": [f"Doe {n}" for n in range(20)], "sex": ["F", "M"] * 10}, index=ids)
    table = compare_groups({scan: n < 5 for n, scan in enumerate(ids)}, frame)
    assert set(table["column"]) == {"sex"}
    assert "Doe" not in table.to_csv()
