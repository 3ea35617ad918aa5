"""Label images of one scan in the store: its prediction's, and named regions, which may overlap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from agg2exp_core.errors import StoreError
from agg2exp_core.store import nodes, ome
from agg2exp_core.store.naming import check_name
from agg2exp_core.store.place import ScanPlace
from agg2exp_core.types import Grid, Mask

PREDICTION = "prediction"
"""The label image that is no region, but the model's own."""


class ScanRegions(ScanPlace):
    """Regions of a scan, each an OME-Zarr label image."""

    def write_roi(self, name: str, mask: Mask, kind: str) -> None:
        """Store a named region ``[X, Y, Z]`` as an OME-Zarr label image, with its kind.

        Raises
        ------
        StoreError
            If the name cannot be a key, or is that of the prediction.
        """
        if check_name("RoI", name) == PREDICTION:
            raise StoreError(
                "RoI name",
                got=repr(name),
                allowed="any other",
                remedy="rename the RoI: it is the model's own",
            )
        self._write_label(name, mask.astype(np.uint8), {"kind": kind})

    def rois(self, kind: str | None = None) -> dict[str, da.Array]:
        """Return the stored regions by name, boolean ``[X, Y, Z]``; of one kind, if it is given."""
        return {
            name: nodes.lazy_array(self.root, self._path("labels", name, "0")) != 0
            for name in self._roi_names(kind)
        }

    def roi_checksums(self) -> dict[str, str]:
        """Return the checksum of each stored region's voxels by name."""
        return {
            name: nodes.stored_checksum(self.root, self._path("labels", name, "0"))
            for name in self._roi_names()
        }

    def drop_roi(self, name: str) -> None:
        """Remove a region; sums and matrices over it are the caller's to mend.

        Raises
        ------
        StoreError
            If there is no such region.
        """
        names = self._roi_names()
        if name not in names:
            raise StoreError(
                f"{self.scan_id}: RoI name",
                got=repr(name),
                allowed=", ".join(names) or "nothing: the scan has no RoIs",
                remedy="name a RoI of this scan",
            )
        self.root.delete_tree(self._path("labels", name))
        left = sorted(self.root.nodes(self._path("labels")))
        nodes.put_group(self.root, self._path("labels"), {"ome": ome.labels_metadata(left)})

    def _roi_names(self, kind: str | None = None) -> list[str]:
        labels = self.root.nodes(self._path("labels"))
        kinds = {
            name: document["attributes"][nodes.ATTRIBUTES].get("kind") for name, document in labels.items()
        }
        return [name for name in kinds if name != PREDICTION and kind in (None, kinds[name])]

    def _write_label(self, name: str, values: NDArray[Any], attributes: Mapping[str, Any]) -> None:
        affine = np.array(self._image_attributes()["affine"], dtype=np.float64)
        metadata = ome.label_metadata(name, Grid((1, 1, 1), affine).spacing_mm)
        nodes.put_array(self.root, self._path("labels", name, "0"), values, ome.SPACE_AXES, {})
        # The list of names comes before the marker: whoever finds the label finds it listed.
        names = {name, *self.root.nodes(self._path("labels"))}
        nodes.put_group(self.root, self._path("labels"), {"ome": ome.labels_metadata(sorted(names))})
        nodes.put_group(
            self.root, self._path("labels", name), {"ome": metadata, nodes.ATTRIBUTES: dict(attributes)}
        )
