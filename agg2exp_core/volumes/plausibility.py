"""What a scan holds, beside what a model's preprocessing expects: Hounsfield units or something else.

Each check asks for positive evidence of another unit, so that any part of a body passes: what is refused has
no air, no fat and no tissue where Hounsfield units have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.remarks import Remark
from agg2exp_core.types import Preprocessing, Volume

HOUNSFIELD, NO_HOUNSFIELD, ANYTHING = "hounsfield", "no hounsfield", ""
"""What a preprocessing may expect of a channel."""

_SAMPLES = 1 << 21
"""Voxels that are looked at, evenly over the scan."""
_PADDING_HU = -1200.0
"""Below the noise of air: what scanners lay around their field of view."""
_FAT_HU, _GAS_HU, _AIR_HU, _BONE_HU, _METAL_HU = -30.0, -250.0, -500.0, 700.0, 4000.0
_LEAST_SPREAD_HU = 100.0
_LEAST_DARK, _LEAST_GAS, _MOST_BONE, _MOST_METAL, _LEAST_TISSUE = 0.005, 0.01, 0.10, 0.02, 0.01
"""Shares of the voxels outside the padding."""
_MOST_DARK, _MOST_PADDINGS, _MOST_CLIPPED = 0.05, 16, 0.05
"""Shares of all voxels: that may be darker than air and differ, as padding has a few values; that may have
the least value."""

_CT = "CT in Hounsfield units (air near -1000, fat near -100, water 0)"
_EXPORT = "check rescale slope and intercept of the export, or use a model for this kind of scan"


def remarks_on(volume: Volume, preprocessing: Preprocessing) -> Iterator[Remark]:
    """Yield what is doubtful about the intensities of a scan for a model's preprocessing.

    Parameters
    ----------
    volume : Volume
        The scan as it lies in its file.
    preprocessing : Preprocessing
        Its ``expects``, where it has one, says by channel what it is made for: `HOUNSFIELD`,
        `NO_HOUNSFIELD` or `ANYTHING`; the last counts for all further channels.
    """
    expected: Sequence[str] = getattr(preprocessing, "expects", ()) or (ANYTHING,)
    is_mr: bool = getattr(preprocessing, "for_another_modality", False)
    channels = volume.values if volume.values.ndim == 4 else volume.values[None]
    for c, channel in enumerate(channels):
        wanted = expected[min(c, len(expected) - 1)]
        sample = _sample(channel)
        doubt = ""
        if wanted == HOUNSFIELD:
            doubt = _why_not_hounsfield(sample, float(channel.min()))
            if doubt:
                of_channel = f"channel {c + 1}: " if len(channels) > 1 else ""
                yield Remark("hu", f"{of_channel}{doubt}, so it is not in Hounsfield units", _CT, _EXPORT)
            elif sample.min() > _AIR_HU and np.mean(sample == sample.min()) > _MOST_CLIPPED:
                yield Remark("hu", f"intensities are clipped at {sample.min():g}, far above air")
        elif wanted == NO_HOUNSFIELD and _is_hounsfield(sample):
            text = "a scan that looks like CT in Hounsfield units"
            if is_mr:
                allowed = "the modality that the model names, which is not CT"
                yield Remark("modality", text, allowed, "use a model for CT, or another scan")
            else:
                yield Remark("modality", f"{text}, for a model that normalises each scan by itself")


def _sample(channel: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = channel.ravel(order="K")
    return flat[:: max(1, flat.size // _SAMPLES) | 1]  # odd: no power of two, as rows are long


def _why_not_hounsfield(sample: NDArray[np.float32], least: float) -> str:
    """Return what shows that a scan is not in Hounsfield units; empty where nothing does."""
    if least >= 0:
        return "a volume that holds no negative value"
    body, dark = sample[sample >= _PADDING_HU], sample[sample < _PADDING_HU]
    if dark.size > _MOST_DARK * sample.size and np.unique(dark).size > _MOST_PADDINGS:
        share = dark.size / sample.size
        return f"a volume with {share:.0%} of its voxels below {_PADDING_HU:g} that are no padding"
    if body.size < _LEAST_TISSUE * sample.size:
        return f"a volume with {dark.size / sample.size:.1%} of its voxels below {_PADDING_HU:g}"
    low, high = np.quantile(body, (0.001, 0.999))
    n_dark, n_gas = np.mean(body < _FAT_HU), np.mean(body < _GAS_HU)
    n_bone, n_metal = np.mean(body > _BONE_HU), np.mean(body > _METAL_HU)
    n_tissue = np.mean((body > -200) & (body < 1500))
    if high - low < _LEAST_SPREAD_HU:
        return f"a volume whose intensities lie between {low:.4g} and {high:.4g}, as if normalised"
    if n_dark < _LEAST_DARK:
        return (
            f"a volume with {n_dark:.2%} of its voxels below {_FAT_HU:g}, so neither air nor fat "
            "(padding left out)"
        )
    if n_gas < _LEAST_GAS and n_bone > _MOST_BONE:
        return (
            f"a volume with {n_bone:.0%} of its voxels above {_BONE_HU:g} and {n_gas:.1%} as dark as air "
            "(padding left out), as if shifted by 1024"
        )
    if n_tissue < _LEAST_TISSUE:
        return f"a volume with {n_tissue:.1%} of its voxels between -200 and 1500, where tissue is"
    if n_metal > _MOST_METAL:
        return f"a volume with {n_metal:.0%} of its voxels above {_METAL_HU:g}, brighter than bone"
    return ""


def _is_hounsfield(sample: NDArray[np.float32]) -> bool:
    """Return whether there are much air and much soft tissue where Hounsfield units have them."""
    n_air = np.mean((sample > -1200) & (sample < -850))
    n_tissue = np.mean((sample > -150) & (sample < 200))
    return bool(n_air > 0.05 and n_tissue > 0.05)
