from hypothesis import given, settings
from hypothesis import strategies as st

from agg2exp_core.execution import alike


def test_by_hand():
    assert list(alike([3, 0, 1, 3, 3, 2, 1], 2)) == [[0, 3], [4], [5], [2, 6]]
    assert list(alike([3, 0, 1, 3], 1)) == [[0], [2], [3]]
    assert list(alike([10, 9, 8], 3)) == [[0, 1], [2]]
    assert list(alike([], 3)) == []


@settings(deadline=None)  # never a timed test
@given(st.lists(st.integers(0, 20), max_size=40), st.integers(1, 8))
def test_each_window_passes_once_and_few_pass_for_nothing(n_passes, most):
    batches = list(alike(n_passes, most))
    assert sorted(i for batch in batches for i in batch) == [i for i, n in enumerate(n_passes) if n]
    assert all(len(batch) <= most for batch in batches)
    rows = sum(len(batch) * max(n_passes[i] for i in batch) for batch in batches)
    assert rows * 0.9 <= sum(n_passes)
