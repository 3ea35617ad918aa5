"""Image and prediction of one scan in the store."""

from __future__ import annotations

import numpy as np
import torch

from agg2exp_core.store import nodes, ome
from agg2exp_core.store.regions import PREDICTION, ScanRegions
from agg2exp_core.store.root import METADATA
from agg2exp_core.types import Grid, Prediction, Scan


class ScanImage(ScanRegions):
    """The preprocessed image of a scan, and what the model segments in it."""

    def write_image(self, scan: Scan) -> None:
        """Store the preprocessed image with its affine, its source grid and its content hash."""
        attributes = {
            "affine": scan.affine.tolist(),
            "source": {"shape": list(scan.source.shape), "affine": scan.source.affine.tolist()},
            "content_hash": scan.content_hash,
        }
        if (before := self._attributes()) is not None and before != attributes:
            self.root.delete(self._path(METADATA))
        image = scan.image.detach().cpu().numpy().astype(np.float32, copy=False)  # [C, X, Y, Z]
        nodes.put_array(self.root, self._path("0"), image, ome.IMAGE_AXES, {})
        metadata = ome.image_metadata(self.scan_id, scan.grid.spacing_mm)
        nodes.put_group(self.root, self._path(), {"ome": metadata, nodes.ATTRIBUTES: attributes})

    def image(self) -> Scan:
        """Return the stored image, bit for bit.

        Raises
        ------
        StoreError
            If the scan has no image yet.
        """
        attributes = self._image_attributes()
        image = nodes.read_array(self.root, self._path("0"))
        source = attributes["source"]
        return Scan(
            scan_id=self.scan_id,
            image=torch.from_numpy(image),
            affine=np.array(attributes["affine"], dtype=np.float64),
            source=Grid(tuple(source["shape"]), np.array(source["affine"], dtype=np.float64)),
            content_hash=attributes["content_hash"],
        )

    def content_hash(self) -> str | None:
        """Return the content hash of the stored image, or None if there is none."""
        attributes = self._attributes()
        return None if attributes is None else str(attributes["content_hash"])

    def write_prediction(self, prediction: Prediction, identity: str) -> None:
        """Store labels as the OME-Zarr label image ``labels/prediction``.

        Own logits and probabilities are the plain arrays ``prediction/own_logit`` and
        ``prediction/own_probability`` ``[X, Y, Z]``: OME-Zarr label images hold integers alone.
        """
        if self.prediction_identity() not in (None, identity):
            self.root.delete(self._path("labels", PREDICTION, METADATA))
        nodes.put_group(self.root, self._path(PREDICTION))
        for name in ("own_logit", "own_probability"):
            values = getattr(prediction, name).astype(np.float32, copy=False)
            nodes.put_array(
                self.root, self._path(PREDICTION, name), values, ome.SPACE_AXES, {"identity": identity}
            )
        smallest = np.min_scalar_type(max(len(prediction.class_names) - 1, 0))
        self._write_label(
            PREDICTION,
            prediction.labels.astype(smallest, copy=False),
            {
                "identity": identity,
                "class_names": list(prediction.class_names),
                "doubt": {"entropy": dict(prediction.entropy), "uncertainty": prediction.uncertainty},
            },
        )

    def prediction(self) -> Prediction | None:
        """Return the stored prediction, or None if there is none."""
        attributes = self._attributes("labels", PREDICTION)
        if attributes is None:
            return None
        return Prediction(
            labels=nodes.read_array(self.root, self._path("labels", PREDICTION, "0")),
            class_names=tuple(attributes["class_names"]),
            own_logit=nodes.read_array(self.root, self._path(PREDICTION, "own_logit")),
            own_probability=nodes.read_array(self.root, self._path(PREDICTION, "own_probability")),
            entropy=attributes.get("doubt", {}).get("entropy", {}),
        )

    def doubt(self) -> dict[str, dict[str, float]]:
        """Return how unsure the model was of each class: `entropy` and `uncertainty` of the prediction.

        Empty for a scan that is not segmented, or that an older release segmented.
        """
        attributes = self._attributes("labels", PREDICTION) or {}
        return dict(attributes.get("doubt", {}))

    def prediction_identity(self) -> str | None:
        """Return the identity of the stored prediction, or None if there is none."""
        attributes = self._attributes("labels", PREDICTION)
        return None if attributes is None else str(attributes["identity"])
