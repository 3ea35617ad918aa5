import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agg2exp_core.errors import UsageError
from agg2exp_core.types import Grid
from agg2exp_core.volumes import CTPreprocessing, overlap_share, read_nifti, resample, resampling, write_nifti

from .grids import oblique, oriented, plane, world


def slow_twin(values, source, target, interpolation, outside):
    """One voxel at a time: its centre in the world, its place in the source, the values around that."""
    result = np.full(target.shape, outside, dtype=np.float64)
    for index in np.ndindex(*target.shape):
        point = np.linalg.solve(source.affine, target.affine @ [*index, 1.0])[:3]
        if np.any(point < -0.5) or np.any(point > np.array(source.shape) - 0.5):
            continue
        point = np.clip(point, 0, np.array(source.shape) - 1)
        if interpolation == "nearest":
            result[index] = values[tuple(np.floor(point + 0.5).astype(int))]
            continue
        low = np.minimum(np.floor(point).astype(int), np.array(source.shape) - 2)
        share = point - low
        result[index] = sum(
            np.prod(np.where(corner, share, 1 - share)) * values[tuple(low + corner)]
            for corner in itertools.product((0, 1), repeat=3)
        )
    return result


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
@pytest.mark.parametrize("slab_voxels", [1, 1 << 22])
def test_equals_its_slow_twin(interpolation, slab_voxels, monkeypatch):
    monkeypatch.setattr(resampling, "SLAB_VOXELS", slab_voxels)
    source = oblique(17.0, (2.1, 1.7, 2.6), (-11.3, -9.2, -12.7), (9, 11, 8))
    target = oriented("LPS", (1.9, 2.3, 2.7), (8.1, 9.4, -8.8), (10, 9, 8))
    values = np.random.default_rng(0).normal(size=source.shape)
    got = resample(values, source, target, interpolation=interpolation, outside=-5)
    want = slow_twin(values, source, target, interpolation, -5)
    assert 0.1 < (want == -5).mean() < 0.9
    np.testing.assert_allclose(got, want, atol=1e-10)


@pytest.mark.parametrize(
    "target",
    [
        oblique(35.0, (1.1, 0.9, 1.3), (-2.0, -4.0, 3.0), (10, 11, 12)),
        oriented("LIA", (1.5, 1.0, 2.0), (8.0, 6.0, 8.0), (11, 9, 8)),
        oriented("LPS", (2.0, 1.0, 0.7), (8.0, 9.0, -1.0), (8, 11, 9)),
        oriented("RAS", (0.5, 2.0, 1.0), (-2.0, -1.0, 1.0), (9, 5, 7)),
    ],
)
def test_a_function_of_the_world_stays_where_it_is(target):
    source = oblique(20.0, (1.5, 2.0, 3.0), (-14.0, -20.0, -22.0), (24, 24, 22))
    index = (world(target) - source.affine[:3, 3]) @ np.linalg.inv(source.affine[:3, :3]).T
    assert np.all((index >= 0) & (index <= np.array(source.shape) - 1))  # all of it lies inside
    taken = resample(plane(source), source, target, interpolation="linear", outside=np.nan)
    np.testing.assert_allclose(taken, plane(target), atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(
    order=st.permutations(range(3)),
    flips=st.tuples(*[st.booleans()] * 3),
    start=st.tuples(*[st.integers(-3, 3)] * 3),
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    interpolation=st.sampled_from(["nearest", "linear"]),
    noise=st.sampled_from([0.0, 1e-7, -1e-7]),
)
def test_permuted_flipped_and_cropped_voxels_come_back_exactly(
    order, flips, start, shape, interpolation, noise
):
    source = oblique(31.0, (1.5, 0.7, 3.0), (3.0, 5.0, -8.0), (5, 4, 6))
    values = np.random.default_rng(0).normal(size=source.shape).astype(np.float32)
    to_source = np.zeros((4, 4))
    for axis in range(3):
        step = -1 if flips[axis] else 1
        to_source[order[axis], axis] = step
        to_source[order[axis], 3] = start[axis] + (shape[axis] - 1 if flips[axis] else 0) + noise
    to_source[3, 3] = 1
    target = Grid(shape, source.affine @ to_source)
    got = resample(values, source, target, interpolation=interpolation, outside=9)
    for index in np.ndindex(*shape):
        x, y, z = np.rint(to_source @ [*index, 1.0])[:3].astype(int)
        inside = 0 <= x < 5 and 0 <= y < 4 and 0 <= z < 6
        assert got[index] == (values[x, y, z] if inside else 9)


def test_channels_and_types():
    source, target = oblique(), oriented("RAS", (2.0, 2.0, 2.0), (-5.0, -5.0, -5.0), (8, 8, 8))
    values = np.random.default_rng(0).integers(0, 9, (2, *source.shape))
    nearest = resample(values.astype(np.uint16), source, target, interpolation="nearest")
    assert nearest.shape == (2, 8, 8, 8)
    assert nearest.dtype == np.uint16
    for channel, alone in zip(nearest, values, strict=True):
        np.testing.assert_array_equal(channel, resample(alone, source, target, interpolation="nearest"))
    mask = resample(values[0] > 4, source, target, interpolation="nearest")
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, nearest[0] > 4)
    assert resample(values, source, target, interpolation="linear").dtype == np.float32
    assert resample(values * 1.0, source, target, interpolation="linear").dtype == np.float64


def test_outermost_voxels_reach_to_their_edges():
    source, fine = Grid((2, 2, 2), np.eye(4)), np.diag([0.25, 1.0, 1.0, 1.0])
    fine[0, 3] = -0.75
    values = np.array([[[1.0, 1], [1, 1]], [[3, 3], [3, 3]]])
    target = Grid((11, 2, 2), fine)  # x = -0.75, -0.5, ... 1.75
    linear = resample(values, source, target, interpolation="linear", outside=-1)[:, 0, 0]
    assert linear.tolist() == [-1, 1, 1, 1, 1.5, 2, 2.5, 3, 3, 3, -1]
    nearest = resample(values, source, target, interpolation="nearest", outside=-1)[:, 0, 0]
    assert nearest.tolist() == [-1, 1, 1, 1, 1, 3, 3, 3, 3, 3, -1]


def test_overlap_share():
    a = Grid((10, 10, 10), np.eye(4))
    assert overlap_share(a, a) == pytest.approx(1)
    assert overlap_share(a, oriented("LPS", origin_mm=(9, 9, 0), shape=(10, 10, 10))) == pytest.approx(1)
    assert overlap_share(a, oriented("RAS", origin_mm=(5, 0, 0), shape=(10, 10, 10))) == pytest.approx(0.5)
    assert overlap_share(a, oriented("RAS", origin_mm=(2, 2, 2), shape=(4, 4, 4))) == pytest.approx(1)
    assert overlap_share(a, oriented("RAS", origin_mm=(10, 0, 0), shape=(10, 10, 10))) == 0


def test_wrong_use():
    grid = oriented("RAS")
    with pytest.raises(UsageError, match="'cubic'"):
        resample(np.zeros(grid.shape), grid, grid, interpolation="cubic")
    with pytest.raises(UsageError, match="for a grid of"):
        resample(np.zeros((2, 2, 2)), grid, grid, interpolation="nearest")


def test_a_real_scan_returns_to_its_own_grid(real_data, tmp_path):
    volume = read_nifti(real_data / "ct_abdomen/ct.nii.gz")
    image, affine = CTPreprocessing()(volume)
    fine = Grid(tuple(image.shape[1:]), affine)
    back = resample(image[0].numpy(), fine, volume.grid, interpolation="linear")
    wanted = (np.clip(volume.values, -1024, 1024) + 1024) / 2048
    assert np.abs(back - wanted).max() < 1e-5  # 3 mm is twice 1.5 mm: every source voxel is a model voxel
    write_nifti(tmp_path / "back.nii.gz", back, volume.grid)
    again = read_nifti(tmp_path / "back.nii.gz")
    np.testing.assert_array_equal(again.values, back)
    np.testing.assert_allclose(again.grid.affine, volume.grid.affine, atol=1e-5)
