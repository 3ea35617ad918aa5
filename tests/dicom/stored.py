"""A store as an explanation leaves it, made by hand: no network, no flow."""

from pathlib import Path

import numpy as np

from agg2exp_core.store import Store, open_store
from agg2exp_core.types import Prediction, Scan
from agg2exp_core.volumes import CTPreprocessing, read_volume

LABEL = "vanilla_gradient"
CLASS_NAMES = ("background", "left", "right", "middle")


def store_of_scans(place: Path, scans: dict[str, Path], spacing_mm: float = 2.0) -> Store:
    """Store scans by id with a prediction of four classes, and an attribution of the class "left"."""
    store = open_store(place, create=True)
    store.register_model({"name": "small", "fingerprint": "f" * 64, "class_names": CLASS_NAMES})
    store.register_label(LABEL, LABEL, {})
    for scan_id, path in scans.items():
        volume = read_volume(path)
        image, affine = CTPreprocessing(spacing_mm=spacing_mm)(volume)
        there = store.scan(scan_id)
        there.write_image(Scan(scan_id, image, affine, volume.grid, volume.content_hash))
        values = image[0].numpy()
        labels = np.digitize(values, np.quantile(values, [0.4, 0.6, 0.8]))
        there.write_prediction(Prediction(labels, CLASS_NAMES, values, values), f"prediction of {scan_id}")
        attribution = np.random.default_rng(0).normal(size=values.shape)
        there.write_unit(LABEL, "left", attribution, identity=f"attribution of {scan_id}", info={})
    return store
