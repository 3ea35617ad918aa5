"""Rows of the matrices: one small object per label and scan, whose key tells its identity.

One listing of ``rows/<label>/`` says which rows there are: ``<scan id>/<identity>.npz``. NumPy reads them:
arrays under the names of variables and coordinates, and ``about``, JSON that tells their dimensions.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from agg2exp_core.errors import StoreError
from agg2exp_core.store import nodes
from agg2exp_core.store.keys import canonical_json, check_name
from agg2exp_core.store.root import Root

_SUFFIX = ".npz"


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a label.

    Parameters
    ----------
    root : Root
        The store's root.
    label : str
        Of the method and its parameters.
    """

    root: Root
    label: str

    def known(self) -> dict[str, list[str]]:
        """Return the identities of the rows by scan id, from one listing.

        There are several where a writer was killed before it removed what it had replaced, or is at it.
        """
        found: dict[str, list[str]] = {}
        for name in self.root.keys(self._folder()):
            scan_id, _, file = name.rpartition("/")
            if scan_id and file.endswith(_SUFFIX):
                found.setdefault(scan_id, []).append(file.removesuffix(_SUFFIX))
        return {scan_id: sorted(found[scan_id]) for scan_id in sorted(found)}

    def identities(self, scan_id: str) -> list[str]:
        """Return the identities of the rows of one scan."""
        names = self.root.children(self._folder(scan_id))
        return [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]

    def read(self, identities: Mapping[str, str]) -> dict[str, xr.Dataset]:
        """Return the rows of scans by their identities, fetched together.

        Raises
        ------
        StoreError
            If rows are not there.
        """
        keys = [self._key(scan_id, identity) for scan_id, identity in identities.items()]
        found = dict(zip(identities, self.root.get_many(keys), strict=True))
        for scan_id, content in found.items():
            if content is None:
                raise StoreError(
                    f"{self.root.uri}/{self._folder(scan_id)}",
                    got="no rows any more",
                    allowed="rows that stay while they are read",
                    remedy="try again: another run is writing them anew",
                )
        return {scan_id: unpacked(content) for scan_id, content in found.items() if content is not None}

    def write(self, scan_id: str, rows: xr.Dataset, identity: str) -> None:
        """Store the rows of a scan under an identity, in place of those that were there before."""
        before = self.identities(scan_id)
        self.root.put(self._key(scan_id, identity), packed(rows))
        for name in before:
            if name != identity:
                self.root.delete(self._key(scan_id, name))

    def _folder(self, *scan_id: str) -> str:
        return "/".join(("rows", check_name("label", self.label), *scan_id))

    def _key(self, scan_id: str, identity: str) -> str:
        return f"{self._folder(check_name('scan', scan_id))}/{check_name('identity', identity)}{_SUFFIX}"


def packed(rows: xr.Dataset) -> bytes:
    """Return a data set of numbers and texts as bytes; the same values are the same bytes."""
    dims = {str(name): list(map(str, field.dims)) for name, field in rows.variables.items()}
    about = canonical_json({"dims": dims, "coordinates": sorted(map(str, rows.coords)), "told": rows.attrs})
    arrays: dict[str, Any] = {str(name): field.values for name, field in rows.variables.items()}
    content = io.BytesIO()
    np.savez_compressed(content, about=np.frombuffer(about, np.uint8), **arrays)
    return content.getvalue()


def unpacked(content: bytes) -> xr.Dataset:
    """Return the data set of `packed`."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        about = json.loads(arrays["about"].tobytes())
        fields: dict[str, tuple[list[str], NDArray[Any]]] = {
            name: (dims, arrays[name]) for name, dims in about["dims"].items()
        }
    coordinates = {name: fields.pop(name) for name in about["coordinates"]}
    return xr.Dataset(fields, coordinates, about["told"])


def earlier_rows(root: Root, scan_id: str, label: str) -> tuple[xr.Dataset, str] | None:
    """Return the rows of a scan and their identity where release 0.1.0 laid them, or None."""
    dataset = nodes.get_dataset(root, f"scans/{scan_id}.zarr/importance/{label}")
    return None if dataset is None else (dataset, dataset.attrs.pop("identity"))
