"""Cubes cover a scan once, from voxel 0 of each axis, with one id each."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agg2exp_core.attribution import make_method
from agg2exp_core.attribution.players import (
    NO_PLAYER,
    cubes,
    cubes_in_windows,
    cubes_per_axis,
    side_for,
)
from agg2exp_core.errors import UsageError
from agg2exp_core.types import WindowSettings
from agg2exp_core.windows import Tiling
from tests.reference import shapley as twin

CPU = torch.device("cpu")
SHAPES = st.tuples(*[st.integers(1, 14)] * 3)


@settings(max_examples=80, deadline=None)
@given(SHAPES, st.integers(1, 9))
def test_each_id_is_one_box_and_none_is_used_twice(shape, side):
    ids = cubes(shape, side, CPU).numpy()
    assert ids.shape == shape
    assert np.unique(ids).tolist() == list(range(math.prod(cubes_per_axis(shape, side))))
    boxes = product(*[range(0, n, side) for n in shape])
    for number, corner in enumerate(boxes):  # as twin: the box that starts at each multiple of the side
        box = tuple(slice(c, c + side) for c in corner)
        assert (ids[box] == number).all()
        assert int((ids == number).sum()) == ids[box].size
    np.testing.assert_array_equal(ids, twin.cubes(shape, side))


@settings(max_examples=80, deadline=None)
@given(SHAPES, SHAPES, st.integers(1, 9), st.sampled_from([0, 0.25, 0.6]))
def test_the_players_of_a_window_are_counted_beforehand(shape, window, side, overlap):
    tiling = Tiling(WindowSettings(shape=window, overlap=overlap), shape)
    ids = tiling.pad(cubes(shape, side, CPU), NO_PLAYER)
    found = [len(set(torch.unique(ids[w]).tolist()) - {NO_PLAYER}) for w in tiling.windows]
    assert cubes_in_windows(tiling, side) == found


@settings(max_examples=80, deadline=None)
@given(st.tuples(*[st.integers(1, 60)] * 3), st.integers(1, 600))
def test_the_side_for_a_number_of_cubes_is_the_smallest(shape, n_cubes):
    side = side_for(shape, n_cubes)
    assert math.prod(cubes_per_axis(shape, side)) <= n_cubes
    assert side == 1 or math.prod(cubes_per_axis(shape, side - 1)) > n_cubes


def test_the_sizes_that_the_paper_names():
    assert math.prod(cubes_per_axis((300,) * 3, 128)) == 27
    assert math.prod(cubes_per_axis((512,) * 3, 128)) == 64
    assert side_for((300,) * 3, 512) == 38
    assert side_for((512,) * 3, 64) == 128


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"cube_side": 0}, "1 or more"),
        ({"n_cubes": 0}, "1 or more"),
        ({"n_cubes": 8, "cube_side": 32}, "one of them"),
        ({"cube_sides": 8}, "did you mean 'cube_side'"),
    ],
)
def test_sizes_without_a_meaning_are_refused(params, message):
    with pytest.raises(UsageError, match=message):
        make_method("shapley_cubes", params)
