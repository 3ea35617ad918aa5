"""Volumes for a browser: within their budgets, where they were, and as near to the values as steps allow."""

import gzip

import nibabel as nib
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from agg2exp_core.figures.planes import OUTLINE, colour_stops
from agg2exp_core.report.browser_volumes import (
    BrowserVolume,
    coarse_grid,
    packed_attribution,
    packed_hounsfield,
    packed_image,
    packed_labels,
)
from agg2exp_core.report.intensities import in_hounsfield_units
from agg2exp_core.types import Grid

SHAPE = (23, 18, 9)
AFFINE = np.array([[0, 0, 4.0, -10], [-1.0, 0, 0, 5], [0, 1.5, 0, 7], [0, 0, 0, 1]])
GRID = Grid(SHAPE, AFFINE)


def opened(volume: BrowserVolume) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(gzip.decompress(volume.nifti))


def slow_means(values: np.ndarray, blocks: tuple[int, ...]) -> np.ndarray:
    shape = coarse_grid(Grid(values.shape, np.eye(4)), blocks).shape
    means = np.empty(shape)
    for place in np.ndindex(*shape):
        cut = tuple(slice(i * b, (i + 1) * b) for i, b in zip(place, blocks, strict=True))
        means[place] = values[cut].mean()
    return means


def blocks_of(image: nib.Nifti1Image) -> tuple[int, ...]:
    return tuple(np.rint(np.array(image.header.get_zooms()) / GRID.spacing_mm).astype(int))


@pytest.mark.parametrize("most_bytes", [300, 1500, 10_000])
def test_an_image_keeps_to_its_budget_and_is_the_mean_of_blocks(most_bytes):
    values = np.random.default_rng(0).normal(size=SHAPE)
    volume = packed_image(values, GRID, most_bytes)
    assert len(volume.nifti) <= most_bytes
    image = opened(volume)
    blocks = blocks_of(image)
    assert blocks == (1, 1, 1) or most_bytes < 10_000
    dark, bright = np.percentile(values, (0.5, 99.5))
    expected = np.clip((slow_means(values, blocks) - dark) / (bright - dark), 0, 1)
    np.testing.assert_allclose(image.get_fdata() / 255, expected, atol=0.51 / 255)
    assert image.affine @ [0, 0, 0, 1] == pytest.approx(AFFINE @ [*((np.array(blocks) - 1) / 2), 1], abs=1e-4)


def test_hounsfield_units_are_kept_in_steps():
    hu = np.random.default_rng(0).uniform(-1024, 3000, SHAPE)
    volume = packed_hounsfield(hu, GRID, 4.0, 100_000)
    np.testing.assert_allclose(opened(volume).get_fdata() * volume.unit, hu, atol=2.01)


@pytest.mark.parametrize(
    ("preprocessing", "expected"),
    [
        ({"kind": "ct", "hu_range": [-1000, 1000]}, [-1000, 0, 1000]),
        (
            {
                "kind": "nnunet",
                "normalization_schemes": ["CTNormalization"],
                "intensities": {"0": {"mean": 50.0, "std": 100.0}},
            },
            [50, 100, 150],
        ),
        ({"kind": "monai"}, None),
        (None, None),
    ],
)
def test_preprocessing_is_undone_where_it_is_known(preprocessing, expected):
    hu = in_hounsfield_units(np.array([0.0, 0.5, 1.0]), preprocessing)
    assert (hu is None) if expected is None else np.allclose(hu, expected)


def test_colours_of_the_viewer_are_those_of_pictures_and_never_the_tint():
    stops = colour_stops()
    ends = [to_rgb(colour) for colour in ("#ffb067", "#67e8ff")]
    assert np.allclose([stops["raises"][-1], stops["lowers"][-1]], np.multiply(ends, 255), atol=1)
    tint = np.multiply(to_rgb(OUTLINE), 255)
    assert min(np.linalg.norm(np.subtract(rgb, tint)) for part in stops.values() for rgb in part) > 120


def test_blocks_are_nearly_cubes():
    blocks = blocks_of(opened(packed_image(np.random.default_rng(0).normal(size=SHAPE), GRID, 700)))
    edges = np.array(blocks) * GRID.spacing_mm
    assert edges.max() / edges.min() <= 2


def test_an_attribution_keeps_its_signs_and_its_strongest_voxels():
    values = np.random.default_rng(1).normal(size=SHAPE) ** 3
    values[0, 0, 0] = np.nan
    volume = packed_attribution(values, GRID, 10_000)
    shown = opened(volume).get_fdata() * volume.unit
    values[0, 0, 0] = 0
    strong = np.abs(values) >= np.percentile(np.abs(values), 80)
    assert not shown[~strong].any()
    steps = np.clip(values / volume.unit, -127, 127)
    np.testing.assert_allclose(shown[strong] / volume.unit, steps[strong], atol=0.51)
    assert list(volume.thresholds) == sorted(volume.thresholds, reverse=True)


def test_of_a_coarse_attribution_thresholds_are_its_own():
    values = np.random.default_rng(1).normal(size=SHAPE)
    volume = packed_attribution(values, GRID, 400)
    assert len(volume.nifti) <= 400
    image = opened(volume)
    strength = np.abs(slow_means(values, blocks_of(image))) / volume.unit
    cuts = np.percentile(strength, [99, 98, 95, 90, 80])
    np.testing.assert_allclose(volume.thresholds, np.maximum(cuts, 1), rtol=1e-9)


def test_an_attribution_of_nothing_is_nothing():
    assert not opened(packed_attribution(np.zeros(SHAPE), GRID, 1000)).get_fdata().any()


def test_labels_are_never_mixed():
    labels = np.random.default_rng(2).integers(0, 300, SHAPE)
    np.testing.assert_array_equal(opened(packed_labels(labels, GRID, 100_000)).get_fdata(), labels)
    image = opened(packed_labels(labels, GRID, 1000))
    bx, by, bz = blocks_of(image)
    middles = [
        np.minimum(np.arange(0, n, b) + b // 2, n - 1) for n, b in zip(SHAPE, (bx, by, bz), strict=True)
    ]
    np.testing.assert_array_equal(image.get_fdata(), labels[np.ix_(*middles)])


def test_equal_input_gives_equal_bytes():
    values = np.random.default_rng(3).normal(size=SHAPE)
    assert packed_image(values, GRID, 900).nifti == packed_image(values.copy(), GRID, 900).nifti
