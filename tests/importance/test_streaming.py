"""Sums of planes that pass by equal the reduction of stored voxels."""

from itertools import pairwise

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from agg2exp_core.importance import RoiSet, RoiSums, StreamedSums, local_importance_from_arrays

SHAPE = (13, 9, 10)
NAMES = ("background", "a", "b")


def rois():
    rng = np.random.default_rng(0)
    masks = {"lesion": rng.random(SHAPE) < 0.2, "half": np.arange(13)[:, None, None] * np.ones(SHAPE) < 6}
    return RoiSet(rng.integers(0, 3, SHAPE), NAMES, {"both": ("a", "b")}, masks)


@pytest.mark.parametrize("n_channels", [None, 2])
@settings(deadline=None, max_examples=30)
@given(cuts=st.sets(st.integers(1, 12), max_size=6))
def test_streamed_sums_equal_the_reduction_of_voxels(n_channels, cuts):
    rng = np.random.default_rng(1)
    shape = SHAPE if n_channels is None else (n_channels, *SHAPE)
    values = {name: rng.normal(size=shape).astype(np.float32) for name in NAMES}
    regions = rois()
    lazy = {name: da.from_array(v, chunks=(-1,) * (v.ndim - 3) + (5, 4, 10)) for name, v in values.items()}
    expected = local_importance_from_arrays(lazy, regions)
    streamed = StreamedSums(regions)
    edges = [0, *sorted(cuts), 13]
    for start, stop in pairwise(edges):
        for name, v in values.items():
            streamed.add(name, start, v[..., start:stop, :, :])
    known = {name: RoiSums(*streamed.take(name).as_array()) for name in NAMES}
    xr.testing.assert_allclose(local_importance_from_arrays({}, regions, known=known), expected, rtol=1e-12)
    some = {"a": known.pop("a")}
    del lazy["a"]
    xr.testing.assert_allclose(local_importance_from_arrays(lazy, regions, known=some), expected, rtol=1e-12)


def test_a_class_that_begins_again_counts_once():
    regions, ones = rois(), np.ones(SHAPE)
    streamed = StreamedSums(regions)
    streamed.add("a", 0, ones[:8])
    streamed.add("a", 0, ones[:5])
    streamed.add("a", 5, ones[5:])
    sums = streamed.take("a")
    assert sums.positive[-1] == sums.n_voxels[-1] == ones.size
