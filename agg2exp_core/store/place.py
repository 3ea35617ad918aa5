"""The place of one scan in the store: its paths, and what its image says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agg2exp_core.errors import StoreError
from agg2exp_core.store import nodes
from agg2exp_core.store.root import METADATA, Root


@dataclass(frozen=True, eq=False)
class ScanPlace:
    """The group ``scans/<scan_id>.zarr``.

    Parameters
    ----------
    root : Root
        The store's root.
    scan_id : str
        The scan.
    """

    root: Root
    scan_id: str

    def _path(self, *parts: str) -> str:
        return "/".join((f"scans/{self.scan_id}.zarr", *parts))

    def _attributes(self, *parts: str) -> dict[str, Any] | None:
        document = self.root.get_json(self._path(*parts, METADATA))
        return None if document is None else document["attributes"].get(nodes.ATTRIBUTES, {})

    def _image_attributes(self) -> dict[str, Any]:
        attributes = self._attributes()
        if attributes is None:
            raise StoreError(
                f"{self.root.uri}/{self._path()}",
                got="no image",
                allowed="a scan whose image is stored",
                remedy="store the image of this scan first",
            )
        return attributes
