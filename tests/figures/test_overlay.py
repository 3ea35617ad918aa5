"""The overlay: the right slices, the right side, whatever way the array lies."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

from agg2exp_core.errors import UsageError
from agg2exp_core.figures import overlay, to_png
from agg2exp_core.figures.planes import PLANES, widest_slice

AFFINE = np.diag([1.0, 2.0, 3.0, 1.0])


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """In RAS: a body with a bright block at the right, in front, at the top; attribution there."""
    rng = np.random.default_rng(0)
    image = rng.random((20, 16, 12))
    mask = np.zeros(image.shape, bool)
    mask[14:19, 11:15, 8:11] = True
    mask[16, 12, 2:11] = True
    values = np.where(mask, rng.normal(size=image.shape), 0.0)
    image[mask] += 3
    return image, values, mask


def turned(codes: str) -> tuple[list[np.ndarray], np.ndarray]:
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    volumes = [apply_orientation(volume, turn) for volume in scene()]
    return volumes, AFFINE @ inv_ornt_aff(turn, (20, 16, 12))


def test_the_widest_slice_is_that_of_a_loop():
    mask = np.random.default_rng(1).random((9, 8, 7)) > 0.6
    for axis in range(3):
        counts = [int(np.take(mask, i, axis=axis).sum()) for i in range(mask.shape[axis])]
        assert widest_slice(mask, axis) == counts.index(max(counts))


@pytest.mark.parametrize("codes", ["LIA", "LPS", "ASR", "PIR"])
def test_every_orientation_gives_the_same_picture(codes: str):
    expected = to_png(overlay(*scene(), affine=AFFINE, title="t"))
    volumes, affine = turned(codes)
    assert "".join(nib.aff2axcodes(affine)) == codes
    assert to_png(overlay(*volumes, affine=affine, title="t")) == expected


def test_the_right_side_is_on_the_left():
    figure = overlay(*scene(), affine=AFFINE, title="t")
    for ax, plane in zip(figure.axes, PLANES, strict=False):
        grey = np.asarray(ax.images[0].get_array())
        rows, columns = np.nonzero(grey > 0.9)
        assert columns.mean() < grey.shape[1] / 2, plane.name  # right, or the front
        assert rows.mean() < grey.shape[0] / 2, plane.name  # the front, or the top
        assert [text.get_text() for text in ax.texts] == list(plane.edges)


def test_millimetres_are_square():
    figure = overlay(*scene(), affine=AFFINE, title="t")
    width, height = figure.get_size_inches()
    sizes_mm = [(20, 32), (20, 36), (32, 36)]
    scales = []
    for ax, (wide, tall) in zip(figure.axes, sizes_mm, strict=False):
        box = ax.get_position()
        scales += [box.width * width / wide, box.height * height / tall]
    np.testing.assert_allclose(scales, scales[0])


@pytest.mark.parametrize("paper_threshold", [False, True])
def test_only_what_is_above_the_threshold_is_shown(paper_threshold: bool):
    image, _, mask = scene()
    values = np.random.default_rng(3).normal(size=image.shape) ** 3
    values[0, 0, 0] = np.nan
    figure = overlay(image, values, mask, affine=AFFINE, title="t", paper_threshold=paper_threshold)
    strength = np.abs(np.nan_to_num(values))
    threshold = 0.01 * strength.max() if paper_threshold else np.sort(strength.ravel())[round(0.95 * 3839)]
    for ax, plane in zip(figure.axes, PLANES, strict=False):
        index = widest_slice(mask, plane.normal)
        opacity = np.asarray(ax.images[1].get_array())[..., 3]
        np.testing.assert_array_equal(opacity > 0, plane.cut(strength, index) > threshold)


def test_outline_has_one_segment_per_outer_edge():
    image, values, mask = scene()
    for ax, plane in zip(overlay(image, values, mask, affine=AFFINE, title="t").axes, PLANES, strict=False):
        inside = plane.cut(mask, widest_slice(mask, plane.normal))
        n_edges = 0
        for r, c in np.argwhere(inside):
            for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                y, x = r + dr, c + dc
                outside = not (0 <= y < inside.shape[0] and 0 <= x < inside.shape[1])
                n_edges += bool(outside or not inside[y, x])
        assert len(ax.collections[0].get_segments()) == n_edges


def test_a_real_scan_from_threads_as_from_one(real_data: Path):
    scan = nib.load(real_data / "brain_t1" / "t1.nii.gz")
    image = np.asarray(scan.dataobj, dtype=np.float32)[::2, ::2, ::2]
    affine = scan.affine @ np.diag([2, 2, 2, 1])
    mask = image > np.percentile(image, 95)
    values = np.gradient(image)[0]

    def draw(_: int) -> bytes:
        return to_png(overlay(image, values, mask, affine=affine, title="t"), dpi=60)

    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(draw, range(3))) == {draw(0)}


def test_what_does_not_fit_is_refused():
    image, values, mask = scene()
    with pytest.raises(UsageError, match="no voxel"):
        overlay(image, values, np.zeros_like(mask), affine=AFFINE, title="t")
    with pytest.raises(UsageError, match="one shape"):
        overlay(image, values[1:], mask, affine=AFFINE, title="t")
    with pytest.raises(UsageError, match="0 to 100"):
        overlay(image, values, mask, affine=AFFINE, title="t", percentile=120.0)
