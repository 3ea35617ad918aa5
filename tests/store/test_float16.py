import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from agg2exp_core.store import WriteQueue
from agg2exp_core.store.nodes import UNIT_PLANES, decoded, encoded


@pytest.mark.parametrize("peak", [1e-38, 1e-9, 1.0, 7e4, 3e38])
def test_any_magnitude_misses_by_a_small_share_of_its_peak(peak):
    values = np.random.default_rng(0).uniform(-peak, peak, (5, 6, 7)).astype(np.float32)
    stored, scale = encoded(values)
    assert scale == pytest.approx(np.abs(values).max(), rel=1e-6)
    assert np.abs(decoded(stored, [scale]).astype(float) - values).max() <= 2**-12 * scale * 1.001


@given(nps.arrays(np.float32, (3, 2, 2), elements=st.floats(-1, 1, width=32)))
def test_zeros_and_signs_stay(values):
    stored, scale = encoded(values)
    back = decoded(stored, [scale])
    assert (back[values == 0] == 0).all()
    assert (back * values >= 0).all()


def test_a_value_that_is_not_finite_is_seen_by_the_reader():
    values = np.array([[[1.0, np.inf, np.nan]]], np.float32)
    stored, scale = encoded(values)
    assert not np.isfinite(decoded(stored, [scale])).all()


@pytest.mark.parametrize("shape", [(40, 9, 11), (2, 40, 9, 11)])
def test_a_unit_in_half_the_bytes_reads_as_float32_whatever_the_chunks(store, scan, shape):
    scan_store = store.scan(scan.scan_id)
    scan_store.write_image(scan)
    rng = np.random.default_rng(1)
    values = (rng.standard_normal(shape) * np.geomspace(1e-6, 1e3, 40)[:, None, None]).astype(np.float32)
    with WriteQueue() as queue:
        writer = scan_store.unit_writer("half", "left", shape, "i", queue, "float16")
        for start in range(0, 40, 7):
            writer.append(values[..., start : start + 7, :, :])
        writer.finish({"told": 1})
    lazy = scan_store.attribution("half", "left")
    assert lazy.dtype == np.float32
    read = lazy.compute()
    for start in range(0, 40, UNIT_PLANES):
        block = (..., slice(start, start + UNIT_PLANES), slice(None), slice(None))
        peak = np.abs(values[block]).max()
        assert np.abs(read[block] - values[block]).max() <= 2**-12 * peak * 1.001
    assert np.array_equal(lazy[..., 17:35, :, :].compute(), read[..., 17:35, :, :])
    assert scan_store.verify("half", "left")
    assert scan_store.units("half")["left"].info == {"told": 1}
