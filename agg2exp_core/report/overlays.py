"""Classes of a stored scan on three planes: the scan, the attribution, the outline of the prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from agg2exp_core.figures import overlay
from agg2exp_core.labels import readable
from agg2exp_core.pipeline.display import shown_rule, shown_voxels
from agg2exp_core.report.output import Output
from agg2exp_core.report.sections import Picture
from agg2exp_core.store import ScanStore, Store
from agg2exp_core.types import FloatVolume, Prediction, Scan

_FAVOURITE = "aorta"
"""The class of the paper's own pictures."""
_DPI = 80
"""Three planes are about as wide as a page then."""


@dataclass(frozen=True, eq=False)
class ScanVoxels:
    """What a store holds of a scan besides attributions."""

    scan_store: ScanStore
    scan: Scan
    prediction: Prediction

    @property
    def image(self) -> FloatVolume:
        """The first channel ``[X, Y, Z]``."""
        return np.asarray(self.scan.image[0].numpy())


def voxels_of(scan_store: ScanStore) -> ScanVoxels | None:
    """Return image and prediction of a scan, or None where the store holds none."""
    prediction = scan_store.prediction() if scan_store.content_hash() is not None else None
    return None if prediction is None else ScanVoxels(scan_store, scan_store.image(), prediction)


def largest_classes(voxels: ScanVoxels, label: str, n: int) -> list[str]:
    """Return some classes with stored attributions, no background: the aorta, and then the largest."""
    n_voxels, background = voxels.prediction.n_voxels, voxels.prediction.class_names[0]
    found = [name for name in voxels.scan_store.units(label) if n_voxels.get(name) and name != background]
    return sorted(found, key=lambda name: (name != _FAVOURITE, -n_voxels[name]))[:n]


def overlay_pictures(
    out: Output, store: Store, voxels: ScanVoxels, label: str, stems: Mapping[str, str]
) -> list[Picture]:
    """Write a picture of each of some classes, at addresses without their endings."""
    scan_id = voxels.scan_store.scan_id
    explanation = f"Shown is {shown_rule(store, label)}; the prediction is outlined in green."
    pictures = []
    for name, stem in stems.items():
        values, percentile = shown_voxels(store, voxels.scan_store, label, name, voxels.prediction)
        figure = overlay(
            voxels.image,
            values,
            voxels.prediction.mask(name),
            title=f"{scan_id}: why {readable(name)}?",
            affine=voxels.scan.affine,
            percentile=percentile,
        )
        caption = f"{scan_id}: attribution of {readable(name)} on three planes"
        pictures.append(out.write_picture(stem, figure, caption, explanation, _DPI))
    return pictures
