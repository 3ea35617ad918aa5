"""What a benchmark keeps of a scan, on a local path and on S3."""

import numpy as np
import pytest

from agg2exp_core.errors import Agg2ExpError
from agg2exp_core.store.evaluations import Evaluations


class Maker:
    """Rows that can be told apart, and which of them were asked for."""

    def __init__(self, stop_at=None):
        self.asked, self.stop_at = [], stop_at

    def __call__(self, start, stop):
        if self.stop_at is not None and stop > self.stop_at:
            raise KeyboardInterrupt
        self.asked.append((start, stop))
        return rows(stop)[start:]


def rows(n):
    return np.arange(n)[:, None] + np.array([0.1, np.nan, -0.3])


def test_output_drops_are_made_once_and_more_of_them_only_add(store):
    kept = Evaluations(store, "s1")
    first, more, again, other = Maker(), Maker(), Maker(), Maker()
    np.testing.assert_array_equal(kept.output_drops("abc", 30, first), rows(30))
    np.testing.assert_array_equal(kept.output_drops("abc", 60, more), rows(60))
    np.testing.assert_array_equal(kept.output_drops("abc", 10, again), rows(10))
    np.testing.assert_array_equal(kept.output_drops("xyz", 10, other), rows(10))
    assert first.asked == [(0, 25), (25, 30)]
    assert more.asked == [(30, 50), (50, 60)]
    assert again.asked == []
    assert other.asked == [(0, 10)]


def test_a_killed_run_loses_the_rows_of_one_block_alone(store):
    kept = Evaluations(store, "s1")
    with pytest.raises(KeyboardInterrupt):
        kept.output_drops("abc", 60, Maker(stop_at=50))
    left = Maker()
    np.testing.assert_array_equal(kept.output_drops("abc", 60, left), rows(60))
    assert left.asked == [(50, 60)]


def test_scores_are_found_by_their_identity(store):
    kept = Evaluations(store, "s1")
    assert kept.scores("sg", "complexity") is None
    assert kept.all_scores() == {}
    kept.write_scores("sg", "complexity", "one", {"scores": {"a": 1.5}})
    kept.write_scores("vg", "complexity", "one", {"scores": {"a": 2.5}})
    kept.write_scores("sg", "complexity", "two", {"scores": {"a": 3.5}})
    assert kept.scores("sg", "complexity", "one") is None
    assert kept.scores("sg", "complexity", "two")["scores"] == {"a": 3.5}
    assert set(kept.all_scores()) == {("sg", "complexity"), ("vg", "complexity")}
    assert Evaluations(store, "s2").all_scores() == {}


@pytest.mark.parametrize("name", ["../s1", "a/b", ""])
def test_names_do_not_climb_out_of_the_store(store, name):
    with pytest.raises(Agg2ExpError):
        Evaluations(store, name).write_scores("sg", "complexity", "one", {})
    with pytest.raises(Agg2ExpError):
        Evaluations(store, "s1").write_scores(name, "complexity", "one", {})
