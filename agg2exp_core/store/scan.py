"""One scan in the store: image, prediction, regions, attributions, rows of its matrices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from agg2exp_core.errors import StoreError
from agg2exp_core.store import nodes, ome
from agg2exp_core.store.naming import check_name
from agg2exp_core.store.root import METADATA, Root
from agg2exp_core.store.streaming import PlaneWriter, WriteQueue
from agg2exp_core.types import Grid, Mask, Prediction, Scan

_PREDICTION = "prediction"


@dataclass(frozen=True)
class Unit:
    """A finished attribution of one class: what exists is complete.

    Parameters
    ----------
    identity : str
        Of the result (see `agg2exp_core.store.identity`).
    checksum : str
        SHA-256 of the float32 bytes in C order; of several channels, that of the channels' digests.
    info : mapping
        What the method says about its result.
    shape : tuple of int
        ``(X, Y, Z)``, or ``(C, X, Y, Z)`` for several channels.
    """

    identity: str
    checksum: str
    info: Mapping[str, Any]
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class UnitWriter:
    """The attribution of one class on its way into the store; see `ScanStore.unit_writer`."""

    planes: PlaneWriter
    shape: tuple[int, ...]

    def append(self, values: NDArray[np.floating[Any]]) -> None:
        """Take the next planes ``[n, Y, Z]`` or ``[C, n, Y, Z]``; they are copied."""
        self.planes.append(values)

    def finish(self, info: Mapping[str, Any]) -> Unit:
        """Make the unit visible, with what the method says about its result, JSON-ready."""
        kept = self.planes.finish(info)
        return Unit(kept["identity"], kept["checksum"], kept["info"], self.shape)


@dataclass(frozen=True, eq=False)
class ScanStore:
    """The group ``scans/<scan_id>.zarr``: an OME-Zarr image with all that is known about it.

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
            self.root.delete(self._path("labels", _PREDICTION, METADATA))
        nodes.put_group(self.root, self._path(_PREDICTION))
        for name in ("own_logit", "own_probability"):
            values = getattr(prediction, name).astype(np.float32, copy=False)
            nodes.put_array(
                self.root, self._path(_PREDICTION, name), values, ome.SPACE_AXES, {"identity": identity}
            )
        smallest = np.min_scalar_type(max(len(prediction.class_names) - 1, 0))
        self._write_label(
            _PREDICTION,
            prediction.labels.astype(smallest, copy=False),
            {"identity": identity, "class_names": list(prediction.class_names)},
        )

    def prediction(self) -> Prediction | None:
        """Return the stored prediction, or None if there is none."""
        attributes = self._attributes("labels", _PREDICTION)
        if attributes is None:
            return None
        return Prediction(
            labels=nodes.read_array(self.root, self._path("labels", _PREDICTION, "0")),
            class_names=tuple(attributes["class_names"]),
            own_logit=nodes.read_array(self.root, self._path(_PREDICTION, "own_logit")),
            own_probability=nodes.read_array(self.root, self._path(_PREDICTION, "own_probability")),
        )

    def prediction_identity(self) -> str | None:
        """Return the identity of the stored prediction, or None if there is none."""
        attributes = self._attributes("labels", _PREDICTION)
        return None if attributes is None else str(attributes["identity"])

    def write_roi(self, name: str, mask: Mask, kind: str) -> None:
        """Store a named region ``[X, Y, Z]`` as an OME-Zarr label image, with its kind.

        Raises
        ------
        StoreError
            If the name cannot be a key, or is that of the prediction.
        """
        if check_name("RoI", name) == _PREDICTION:
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

    def _roi_names(self, kind: str | None = None) -> list[str]:
        labels = self.root.nodes(self._path("labels"))
        kinds = {
            name: document["attributes"][nodes.ATTRIBUTES].get("kind") for name, document in labels.items()
        }
        return [name for name in kinds if name != _PREDICTION and kind in (None, kinds[name])]

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

    def unit_writer(
        self,
        label: str,
        class_name: str,
        shape: tuple[int, ...],
        identity: str,
        queue: WriteQueue,
        dtype: str = "float32",
    ) -> UnitWriter:
        """Begin the attribution of one class, whose planes will be appended in order.

        It is visible to any Zarr tool only once it is finished; one of the same name that was there is
        gone at once. Writers of different classes, in any processes or machines, never share a key but
        the metadata of the groups above, which are the same bytes from each.

        Parameters
        ----------
        label : str
            Of the method and its parameters.
        class_name : str
            The class that is explained.
        shape : tuple of int
            ``(X, Y, Z)`` or ``(C, X, Y, Z)``.
        identity : str
            What the result depends on.
        queue : WriteQueue
            Who writes, while the caller computes.
        dtype : {"float32", "float16"}
            How values are stored; float16 has a scale for each 16 planes, which readers here apply.

        Raises
        ------
        StoreError
            If a name cannot be a key, or the store cannot be written.
        """
        path = self._unit_path(label, class_name)
        nodes.put_group(self.root, self._path("attributions"))
        nodes.put_group(self.root, self._path("attributions", label))
        dims = ome.IMAGE_AXES[-len(shape) :]
        return UnitWriter(PlaneWriter(self.root, path, shape, dims, identity, queue, dtype), shape)

    def write_unit(
        self,
        label: str,
        class_name: str,
        values: NDArray[np.floating[Any]],
        *,
        identity: str,
        info: Mapping[str, Any],
    ) -> Unit:
        """Store the attribution of one class as a whole ``[X, Y, Z]`` or ``[C, X, Y, Z]``.

        The parameters and errors, and every byte, are those of `unit_writer`.
        """
        with WriteQueue() as queue:
            writer = self.unit_writer(label, class_name, values.shape, identity, queue)
            writer.append(values)
            return writer.finish(info)

    def units(self, label: str) -> dict[str, Unit]:
        """Return the finished units of a label by class name."""
        documents = self.root.nodes(self._path("attributions", check_name("label", label)))
        return {name: _unit(document) for name, document in documents.items()}

    def attribution(self, label: str, class_name: str) -> da.Array:
        """Return a finished attribution, lazily: float32 ``[X, Y, Z]`` or ``[C, X, Y, Z]``.

        Raises
        ------
        StoreError
            If there is no such unit.
        """
        return nodes.lazy_array(self.root, self._unit_path(label, class_name))

    def verify(self, label: str, class_name: str) -> bool:
        """Return whether the stored voxels still have the checksum that they were written with.

        Raises
        ------
        StoreError
            If there is no such unit.
        """
        return nodes.is_intact(self.root, self._unit_path(label, class_name))

    def drop_voxels(self, label: str) -> None:
        """Remove the attributions of a label; the rows of its matrices stay."""
        self.root.delete_tree(self._path("attributions", check_name("label", label)))

    def write_sums(
        self,
        label: str,
        class_name: str,
        values: NDArray[np.float64],
        *,
        identity: str,
        info: Mapping[str, Any],
    ) -> None:
        """Store what is summed up of an attribution of one class whose voxels are not kept.

        Parameters
        ----------
        label : str
            Of the method and its parameters.
        class_name : str
            The class that is explained.
        values : ndarray of float64, shape [n_sums, n_regions]
            The sums.
        identity : str
            What the attribution depends on.
        info : mapping
            What is told about it, JSON-ready.
        """
        path = self._path("sums", check_name("label", label), check_name("class", class_name))
        nodes.put_group(self.root, self._path("sums"))
        nodes.put_group(self.root, self._path("sums", label))
        nodes.put_array(self.root, path, values, ("sum", "region"), {"identity": identity, "info": info})

    def sums(self, label: str) -> dict[str, Unit]:
        """Return what is told about the finished sums of a label by class name."""
        documents = self.root.nodes(self._path("sums", check_name("label", label)))
        return {name: _unit(document) for name, document in documents.items()}

    def read_sums(self, label: str, class_name: str) -> NDArray[np.float64]:
        """Return the sums of a class ``[n_sums, n_regions]``."""
        return nodes.read_array(self.root, self._path("sums", label, class_name))

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

    def _unit_path(self, label: str, class_name: str) -> str:
        return self._path("attributions", check_name("label", label), check_name("class", class_name))


def _unit(document: Mapping[str, Any]) -> Unit:
    own = document["attributes"][nodes.ATTRIBUTES]
    return Unit(own["identity"], own["checksum"], own["info"], tuple(document["shape"]))
