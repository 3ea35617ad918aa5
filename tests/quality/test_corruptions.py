"""Corruptions keep voxels and labels together, grow with severity, and follow from their address alone."""

import numpy as np
import pytest

from agg2exp_core.errors import UsageError
from agg2exp_core.quality import CORRUPTIONS, corrupt
from agg2exp_core.random import generator
from agg2exp_core.types import Grid, Volume

SHAPE = (12, 14, 20)
LOSING = {"cut_field_of_view", "lost_slices"}


def make_volume(n_channels=None):
    rng = np.random.default_rng(0)
    shape = SHAPE if n_channels is None else (n_channels, *SHAPE)
    ramp = np.add.outer(np.linspace(-1000, 0, SHAPE[0]), np.linspace(0, 400, SHAPE[1]))
    values = (ramp[..., None] + rng.normal(0, 5, shape)).astype(np.float32)
    return Volume(values, Grid(SHAPE, np.diag([3.0, 3.0, 4.0, 1.0])), "hash", "somewhere")


# the place of each slice is its label
LABELS = np.broadcast_to(np.arange(SHAPE[2], dtype=np.uint8), SHAPE)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("n_channels", [None, 2])
def test_what_is_left_of_voxels_keeps_its_labels(name, n_channels):
    volume = make_volume(n_channels)
    before = volume.values.copy()
    changed, labels = corrupt(volume, LABELS, name, 0.5, generator(name))
    again, _ = corrupt(volume, LABELS, name, 0.5, generator(name))
    np.testing.assert_array_equal(changed.values, again.values)
    np.testing.assert_array_equal(volume.values, before)
    assert changed.values.dtype == np.float32
    assert np.isfinite(changed.values).all()
    assert changed.values.shape[-3:] == changed.grid.shape == labels.shape
    if name in LOSING:
        kept = labels[0, 0]
        np.testing.assert_array_equal(changed.values, volume.values[..., kept])
        assert len(kept) == SHAPE[2] - round(0.5 * SHAPE[2] * (1 / 2 if "cut" in name else 1 / 3))
        assert changed.grid.affine[2, 3] == 4.0 * kept[0]
    elif name == "wrong_spacing":
        assert changed.grid.spacing_mm[2] in (pytest.approx(6.0), pytest.approx(4 / 1.5))
        np.testing.assert_array_equal(changed.values, volume.values)
    else:
        np.testing.assert_array_equal(labels, LABELS)
        assert np.abs(changed.values - volume.values).max() > 1


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - LOSING - {"wrong_spacing"}))
def test_more_severe_is_further_away(name):
    volume = make_volume()
    changes = [
        np.abs(corrupt(volume, LABELS, name, severity, generator(name))[0].values - volume.values).mean()
        for severity in (0.25, 0.5, 1.0)
    ]
    assert changes == sorted(changes)
    assert changes[0] > 0


def test_what_there_is_not_is_refused():
    with pytest.raises(UsageError, match="blur"):
        corrupt(make_volume(), LABELS, "blurr", 0.5, generator())
    with pytest.raises(UsageError, match="severity"):
        corrupt(make_volume(), LABELS, "blur", 0.0, generator())
