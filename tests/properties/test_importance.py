"""Any chunks, any order, any way of combining: the same matrix."""

import itertools
import operator
import random
import tracemalloc
from functools import reduce

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from agg2exp_core.errors import ScanError, UsageError
from agg2exp_core.importance import (
    RoiSet,
    global_importance,
    global_matrix,
    local_importance,
    local_importance_from_arrays,
)
from agg2exp_core.importance.roi_set import atoms
from agg2exp_core.importance.sums import roi_sums
from agg2exp_core.types import ClassAttribution
from tests.importance.test_local import check_against_twin

CLASSES = ("background", "heart", "aorta", "lung")


def chunks_of(size):
    return st.lists(st.integers(0, size), max_size=4).map(
        lambda cuts: tuple(np.diff([0, *sorted({c for c in cuts if 0 < c < size}), size]).tolist())
    )


@st.composite
def scans(draw):
    shape = tuple(draw(st.integers(1, 7)) for _ in range(3))
    n_channels = draw(st.sampled_from([None, 1, 2]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = 10.0 ** draw(st.integers(-20, 10))
    full = shape if n_channels is None else (n_channels, *shape)
    targets = draw(st.lists(st.sampled_from(CLASSES), unique=True))
    attributions = {a: (rng.normal(size=full) * scale).astype(np.float32) for a in targets}
    if attributions and draw(st.booleans()):
        next(iter(attributions.values()))[rng.random(full) < 0.5] = 0
    labels = rng.integers(0, draw(st.integers(1, len(CLASSES))), shape)
    extra = {f"mask{n}": rng.random(shape) < draw(st.floats(0, 1)) for n in range(draw(st.integers(0, 3)))}
    merged = draw(st.sampled_from([{}, {"chest": ("heart", "lung")}, {"all": CLASSES, "some": CLASSES[:2]}]))
    return attributions, labels, extra, merged


@given(scans(), st.data())
@settings(deadline=None, max_examples=30)
def test_dask_equals_numpy_equals_the_slow_twin_for_any_chunks(scan, data):
    attributions, labels, extra, merged = scan

    def lazy(array):
        if data.draw(st.booleans()):
            return da.from_array(array, chunks=tuple(data.draw(chunks_of(n)) for n in array.shape))
        return array

    arrays = {name: da.asarray(lazy(values)) for name, values in attributions.items()}
    regions = RoiSet(lazy(labels), CLASSES, merged, {name: lazy(mask) for name, mask in extra.items()})
    with dask.config.set(scheduler="synchronous"):
        stored = local_importance_from_arrays(arrays, regions)
    direct = local_importance(
        [ClassAttribution(name, values) for name, values in attributions.items()],
        RoiSet(labels, CLASSES, merged, extra),
    )
    for variable in direct.data_vars:
        scale = float(np.nan_to_num(np.abs(direct[variable].values)).max(initial=0.0))
        xr.testing.assert_allclose(stored[variable], direct[variable], rtol=1e-12, atol=1e-12 * scale)
    masks = {name: labels == n for n, name in enumerate(CLASSES)}
    masks |= {name: np.isin(labels, [CLASSES.index(p) for p in parts]) for name, parts in merged.items()}
    masks |= extra
    check_against_twin(stored, attributions, masks, labels == 0)


@given(st.integers(0, 2**32), st.lists(st.integers(1, 39), unique=True, max_size=8), st.randoms())
@settings(deadline=None, max_examples=60)
def test_sums_combine_in_any_tree(seed, cuts, rnd: random.Random):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, (40, 3, 2))
    masks = [rng.random(labels.shape) < p for p in (0.0, 0.2, 0.9, 1.0)]
    values = rng.normal(size=(2, *labels.shape))
    whole = roi_sums(values, atoms(labels, masks, 4, [[1, 3]]))
    edges = [0, *sorted(cuts), 40]
    parts = [
        roi_sums(values[:, a:b], atoms(labels[a:b], [m[a:b] for m in masks], 4, [[1, 3]]))
        for a, b in itertools.pairwise(edges)
    ]
    rnd.shuffle(parts)
    while len(parts) > 1:
        first, second = rnd.randrange(len(parts) - 1), len(parts) - 1
        parts[first] = parts[first] + parts.pop(second)
    for name in ("n_voxels", "positive", "negative", "square"):
        np.testing.assert_allclose(getattr(parts[0], name), getattr(whole, name), rtol=1e-12, atol=0)


@given(st.integers(0, 2**32), st.integers(0, 6))
@settings(deadline=None, max_examples=40)
def test_atoms_are_a_partition_that_every_region_is_a_union_of(seed, n_masks):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (5, 4, 3))
    masks = [rng.random(labels.shape) < rng.random() for _ in range(n_masks)]
    split = atoms(labels, masks, 3, [[0, 2], []])
    regions = [labels == 0, labels == 1, labels == 2, labels != 1, labels > 9, *masks, labels >= 0]
    for row, region in zip(split.membership, regions, strict=True):
        np.testing.assert_array_equal(row[split.index], region)
    np.testing.assert_array_equal(split.n_voxels, [region.sum() for region in regions])


@given(st.integers(0, 2**32), st.integers(1, 25), st.data())
@settings(deadline=None, max_examples=20)
def test_statistics_over_scans_are_those_at_once_for_any_order_chunks_and_passes(seed, n_scans, data):
    rng = np.random.default_rng(seed)
    mass = rng.random((n_scans, 2, 3)) * 10.0 ** data.draw(st.integers(-20, 10))
    mass[rng.random(mass.shape) < data.draw(st.sampled_from([0, 0.3, 0.9]))] = np.nan
    scans = [f"s{n}" for n in range(n_scans)]
    at_once = twin_of_statistics(mass, scans)
    order, chunks = rng.permutation(n_scans), data.draw(chunks_of(n_scans))
    lazy = da.from_array(mass[order], chunks=(chunks, 2, 3))
    local = xr.Dataset({"mass": (("scan", "target", "roi"), lazy)}, {"scan": [scans[n] for n in order]})
    pass_bytes = data.draw(st.sampled_from([1, 20 * n_scans, global_matrix.PASS_BYTES]))
    with dask.config.set(scheduler="synchronous"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(global_matrix, "PASS_BYTES", pass_bytes)
        found = global_importance(local, n_bootstrap=50, seed=3)
    assert found.sizes == {"target": 2, "roi": 3}
    plain = xr.Dataset({"mass": (("scan", "target", "roi"), mass)}, {"scan": scans})
    if pass_bytes == global_matrix.PASS_BYTES:  # to the last digit
        xr.testing.assert_identical(found, global_importance(plain, n_bootstrap=50, seed=3))
    scale = float(np.nan_to_num(np.abs(mass)).max(initial=0.0))
    for name, expected in at_once.items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-9, atol=1e-12 * scale, err_msg=name)


def twin_of_statistics(mass, scans):
    """Return each statistic as its formula says it, from all scans at once, in float64."""
    out = {name: np.full(mass.shape[1:], np.nan) for name in global_matrix.STATISTICS}
    weights = global_matrix.bootstrap_weights(scans, 50, seed=3)
    for a, b in np.ndindex(mass.shape[1:]):
        is_there = ~np.isnan(mass[:, a, b])
        some = mass[is_there, a, b]
        out["n"][a, b] = n = len(some)
        if n == 0:
            continue
        resamples = [np.repeat(some, drawn.astype(int)) for drawn in weights[:, is_there]]
        means = [sample.mean() for sample in resamples if len(sample)]
        out["mean"][a, b], out["median"][a, b] = some.mean(), np.median(some)
        out["q25"][a, b], out["q75"][a, b] = np.quantile(some, [0.25, 0.75])
        if means:
            out["ci_low"][a, b], out["ci_high"][a, b] = np.quantile(means, [0.025, 0.975])
        if n > 1:
            out["sd"][a, b] = some.std(ddof=1)
            out["sem"][a, b] = some.std(ddof=1) / np.sqrt(n)
    return out


def lazy_volumes(shape, side, n_volumes):
    def make(block_info=None):
        location = block_info[None]["array-location"]
        return np.random.default_rng(location[0][0]).random((side,) * 3, dtype=np.float32)

    chunks = tuple((side,) * (n // side) for n in shape)
    return [da.map_blocks(make, chunks=chunks, dtype=np.float32) for _ in range(n_volumes)]


def test_memory_is_a_few_chunks_not_the_volume():
    side, n_chunks = 64, 27
    chunk_bytes = side**3 * 4

    def reduced(shape):
        shade, *values = lazy_volumes(shape, side, 4)
        rois = RoiSet((shade > 0.5).astype(np.uint8), CLASSES[:3], extra={"bright": shade > 0.9})
        return local_importance_from_arrays(dict(zip(CLASSES, values, strict=False)), rois)

    with dask.config.set(scheduler="threads", num_workers=2):
        reduced((64, 64, 64))  # imports are no part of the peak
        tracemalloc.start()
        try:
            E = reduced((192, 192, 192))
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    np.testing.assert_allclose(E["mass"].isel(target=[0, 1, 2]).sel(roi=list(CLASSES[:2])).sum("roi"), 1)
    n_held = peak_bytes / chunk_bytes
    assert n_held < 18, f"{n_held:.0f} chunks, of {4 * n_chunks} in all"


def test_bad_voxels_and_strangers_are_refused_from_arrays_too():
    labels = np.zeros((4, 4, 4), int)
    values = da.full((4, 4, 4), np.inf, chunks=2)
    with dask.config.set(scheduler="synchronous"), pytest.raises(ScanError, match="attribution of heart"):
        local_importance_from_arrays({"heart": values}, RoiSet(labels, CLASSES))
    with pytest.raises(UsageError, match="attribution of liver"):
        local_importance_from_arrays({"liver": values}, RoiSet(labels, CLASSES))


def test_addition_is_exact_for_whole_numbers():
    labels = np.zeros((4, 2, 2), int)
    split = atoms(labels, [], 1, [])
    total = reduce(operator.add, [roi_sums(np.full(labels.shape, 3.0), split)] * 1000)
    assert total.absolute.tolist() == [48_000.0, 48_000.0]
