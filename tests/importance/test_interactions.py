"""Class by region by region, from what the method told of each class."""

import numpy as np
import pytest

from agg2exp_core.importance.interactions import global_interactions, local_interactions, sentences

NAMES = ("background", "heart", "aorta")


def told(first, second, index):
    error = [0.5] * len(index)
    return {"interactions": {"first": first, "second": second, "index": index, "standard_error": error}}


def test_regions_by_name():
    found = local_interactions({"aorta": told([0, 1], [1, 2], [3.0, -1.0])}, NAMES, NAMES)
    row = found["interaction"].sel(target="aorta")
    assert float(row.sel(roi="heart", other="background")) == 3.0
    np.testing.assert_array_equal(row.values, row.values.T)
    assert np.isnan(row.values.diagonal()).all()
    assert float(row.sel(roi="aorta", other="background")) == 0
    assert float(found["standard_error"].sel(target="aorta", roi="heart", other="aorta")) == 0.5


def test_over_scans_shares_are_averaged_where_the_class_is():
    one = local_interactions({"aorta": told([0, 1], [1, 2], [3.0, -1.0])}, NAMES, NAMES)
    two = local_interactions({"aorta": told([1], [2], [-2.0]), "heart": told([0], [1], [1.0])}, NAMES, NAMES)
    found = global_interactions({"a": one, "b": two})
    at = {"target": "aorta", "roi": "heart", "other": "aorta"}
    assert float(found["mean"].sel(at)) == pytest.approx((-1 / 4 - 1) / 2)
    assert int(found["n"].sel(at)) == 2
    assert int(found["n"].sel(target="heart", roi="heart", other="background")) == 1
    assert sentences(found["mean"], "aorta") == [
        "heart and aorta stand in for each other when aorta is segmented (-62% of all interaction)",
        "background and heart count for more together than apart when aorta is segmented "
        "(+38% of all interaction)",
    ]


def test_what_is_absent_is_missing():
    found = local_interactions({"aorta": told([0], [2], [3.0])}, NAMES, ("background", "aorta"))
    row = found["interaction"].sel(target="aorta")
    assert row.notnull().values.tolist() == [[False, False, True], [False] * 3, [True, False, False]]
