"""One scan in the store: image, prediction, regions, attributions, rows of its matrices."""

from __future__ import annotations

import xarray as xr

from agg2exp_core.store import nodes
from agg2exp_core.store.image import ScanImage
from agg2exp_core.store.naming import check_name
from agg2exp_core.store.units import ScanUnits


class ScanStore(ScanImage, ScanUnits):
    """The group ``scans/<scan_id>.zarr``: an OME-Zarr image with all that is known about it."""

    def write_importance(self, label: str, dataset: xr.Dataset, identity: str) -> None:
        """Store the rows of this scan's local matrix under an identity."""
        path = self._path("importance", check_name("label", label))
        nodes.put_group(self.root, self._path("importance"))
        nodes.put_datasets(self.root, path, {"": dataset.assign_attrs(identity=identity)})

    def importance(self, label: str) -> tuple[xr.Dataset, str] | None:
        """Return the rows of this scan's local matrix and their identity, or None if there are none."""
        dataset = nodes.get_dataset(self.root, self._path("importance", check_name("label", label)))
        if dataset is None:
            return None
        identity = dataset.attrs.pop("identity")
        return dataset, identity
