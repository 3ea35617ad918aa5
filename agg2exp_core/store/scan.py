"""One scan in the store: image, prediction, regions, attributions, rows of its matrices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from agg2exp_core.errors import StoreError, unknown_name
from agg2exp_core.release import code_version
from agg2exp_core.remarks import Remark
from agg2exp_core.store import nodes, ome
from agg2exp_core.store.keys import METADATA, check_name
from agg2exp_core.store.root import Root
from agg2exp_core.store.rows import Rows, earlier_rows
from agg2exp_core.store.units import MADE_BY, Unit, UnitWriter, WriteQueue
from agg2exp_core.store.writer import put_array
from agg2exp_core.types import Grid, Mask, Prediction, Scan, Shape3

PREDICTION = "prediction"
"""The label image that is no region, but the model's own."""
ATTRIBUTIONS, SUMS = "attributions", "sums"
"""Groups of what explains classes: its voxels, and what is summed up of it where no voxel is kept."""


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

    def write_image(self, scan: Scan) -> None:
        """Store the preprocessed image with its affine, its source grid and its content hash."""
        attributes: dict[str, Any] = {
            "affine": scan.affine.tolist(),
            "source": {"shape": list(scan.source.shape), "affine": scan.source.affine.tolist()},
            "content_hash": scan.content_hash,
        }
        if scan.remarks:
            attributes["remarks"] = [remark.as_json() for remark in scan.remarks]
        if (before := self._attributes()) is not None and before != attributes:
            self.root.delete(self._path(METADATA))
        image = scan.image.detach().cpu().numpy().astype(np.float32, copy=False)  # [C, X, Y, Z]
        put_array(self.root, self._path("0"), image, ome.IMAGE_AXES, {})
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
        image = self._read("0")
        source = attributes["source"]
        return Scan(
            scan_id=self.scan_id,
            image=torch.from_numpy(image),
            affine=np.array(attributes["affine"], dtype=np.float64),
            source=Grid(tuple(source["shape"]), np.array(source["affine"], dtype=np.float64)),
            content_hash=attributes["content_hash"],
            remarks=tuple(map(Remark.of_json, attributes.get("remarks", ()))),
        )

    def remarks(self) -> tuple[Remark, ...]:
        """Return what is doubtful about the scan and its prediction, as it was found when they were made."""
        places = (self._attributes() or {}, self._attributes("labels", PREDICTION) or {})
        return tuple(Remark.of_json(stored) for place in places for stored in place.get("remarks", ()))

    def grid_shape(self) -> Shape3:
        """Return the voxels ``(X, Y, Z)`` of the stored image, which is not read.

        Raises
        ------
        StoreError
            If there is none.
        """
        self._image_attributes()
        x, y, z = (self.root.get_json(self._path("0", METADATA)) or {})["shape"][-3:]
        return x, y, z

    def content_hash(self) -> str | None:
        """Return the content hash of the stored image, or None if there is none."""
        attributes = self._attributes()
        return None if attributes is None else str(attributes["content_hash"])

    def write_prediction(self, prediction: Prediction, identity: str, remarks: Sequence[Remark] = ()) -> None:
        """Store labels as the OME-Zarr label image ``labels/prediction``, with what is doubtful about them.

        Own logits and probabilities are the plain arrays ``prediction/own_logit`` and
        ``prediction/own_probability`` ``[X, Y, Z]``: OME-Zarr label images hold integers alone.
        """
        if self.prediction_identity() not in (None, identity):
            self.root.delete(self._path("labels", PREDICTION, METADATA))
        nodes.put_group(self.root, self._path(PREDICTION))
        for name in ("own_logit", "own_probability"):
            values = np.asarray(getattr(prediction, name), dtype=np.float32)
            path = self._path(PREDICTION, name)
            put_array(self.root, path, values, ome.SPACE_AXES, {"identity": identity})
        smallest = np.min_scalar_type(max(len(prediction.class_names) - 1, 0))
        attributes: dict[str, Any] = {
            "identity": identity,
            "class_names": list(prediction.class_names),
            "doubt": {**prediction.doubt, "uncertainty": prediction.uncertainty},
        }
        if remarks:
            attributes["remarks"] = [remark.as_json() for remark in remarks]
        self._write_label(PREDICTION, prediction.labels.astype(smallest, copy=False), attributes)

    def prediction(self) -> Prediction | None:
        """Return the stored prediction, or None if there is none; own logits and probabilities lazily."""
        attributes = self._attributes("labels", PREDICTION)
        if attributes is None:
            return None
        return Prediction(
            labels=self._read("labels", PREDICTION, "0"),
            class_names=tuple(attributes["class_names"]),
            own_logit=nodes.open_array(self.root, self._path(PREDICTION, "own_logit")),
            own_probability=nodes.open_array(self.root, self._path(PREDICTION, "own_probability")),
            doubt=attributes.get("doubt", {}),
        )

    def label_map(self) -> tuple[da.Array, tuple[str, ...]] | None:
        """Return the predicted class of every voxel ``[X, Y, Z]``, lazily, with the classes' names.

        None if there is no prediction.
        """
        attributes = self._attributes("labels", PREDICTION)
        if attributes is None:
            return None
        labels = nodes.lazy_array(self.root, self._path("labels", PREDICTION, "0"))
        return labels, tuple(attributes["class_names"])

    def doubt(self) -> dict[str, dict[str, float]]:
        """Return the prediction's signs of doubt by sign and class (`Prediction.doubt`), and `uncertainty`.

        Empty for a scan that is not segmented; of one that an older release segmented, what that knew.
        """
        attributes = self._attributes("labels", PREDICTION) or {}
        return dict(attributes.get("doubt", {}))

    def prediction_identity(self) -> str | None:
        """Return the identity of the stored prediction, or None if there is none."""
        attributes = self._attributes("labels", PREDICTION)
        return None if attributes is None else str(attributes["identity"])

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
            where, none = f"{self.scan_id}: RoI name", "nothing: the scan has no RoIs"
            raise unknown_name(where, name, names, kind=StoreError, none=none)
        self.root.delete_tree(self._path("labels", name))
        self._list_labels(self.root.nodes(self._path("labels")))

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
        path = self._class_path(ATTRIBUTIONS, label, class_name)
        self._make_groups(ATTRIBUTIONS, label)
        return UnitWriter(self.root, path, shape, identity, queue, dtype)

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
        return self._units(ATTRIBUTIONS, label)

    def attribution(self, label: str, class_name: str) -> da.Array:
        """Return a finished attribution, lazily: float32 ``[X, Y, Z]`` or ``[C, X, Y, Z]``.

        Raises
        ------
        StoreError
            If there is no such unit.
        """
        return nodes.lazy_array(self.root, self._class_path(ATTRIBUTIONS, label, class_name))

    def verify(self, label: str, class_name: str) -> bool:
        """Return whether the stored voxels still have the checksum that they were written with.

        Raises
        ------
        StoreError
            If there is no such unit.
        """
        return nodes.is_intact(self.root, self._class_path(ATTRIBUTIONS, label, class_name))

    def drop_voxels(self, label: str, class_name: str) -> None:
        """Remove the attribution of a class, or what is left of it; sums and rows of matrices stay."""
        self.root.delete_tree(self._class_path(ATTRIBUTIONS, label, class_name))

    def n_bytes(self, label: str, class_name: str) -> int:
        """Return the bytes that the attribution of a class takes, or what is left of it."""
        return self.root.n_bytes(self._class_path(ATTRIBUTIONS, label, class_name))

    def write_sums(
        self,
        label: str,
        class_name: str,
        values: NDArray[np.float64],
        *,
        identity: str,
        info: Mapping[str, Any],
    ) -> None:
        """Store sums ``[n_sums, n_regions]`` of an attribution of one class whose voxels are not kept.

        The other parameters and errors are those of `unit_writer`; `info` is told about it, JSON-ready.
        """
        path = self._class_path(SUMS, label, class_name)
        self._make_groups(SUMS, label)
        told = {"identity": identity, "info": info, MADE_BY: code_version()}
        put_array(self.root, path, values, ("sum", "region"), told)

    def sums(self, label: str) -> dict[str, Unit]:
        """Return what is told about the finished sums of a label by class name."""
        return self._units(SUMS, label)

    def read_sums(self, label: str, class_name: str) -> NDArray[np.float64]:
        """Return the sums of a class ``[n_sums, n_regions]``."""
        return nodes.read_array(self.root, self._class_path(SUMS, label, class_name))

    def write_importance(self, label: str, dataset: xr.Dataset, identity: str) -> None:
        """Store the rows of this scan's local matrix under an identity."""
        Rows(self.root, label).write(self.scan_id, dataset, identity)
        earlier = self._path("importance", label)
        if self.root.get(f"{earlier}/{METADATA}") is not None:
            self.root.delete_tree(earlier)

    def importance(self, label: str) -> tuple[xr.Dataset, str] | None:
        """Return the rows of this scan's local matrix and their identity, or None if there are none."""
        rows = Rows(self.root, label)
        for identity in rows.identities(self.scan_id)[-1:]:
            return rows.read({self.scan_id: identity})[self.scan_id], identity
        return earlier_rows(self.root, self.scan_id, label)

    def has_rows(self, label: str, identity: str) -> bool:
        """Say whether the rows of this scan's local matrix are there under an identity, and no others."""
        found = Rows(self.root, label).identities(self.scan_id)
        if found:
            return found == [identity]
        earlier = earlier_rows(self.root, self.scan_id, label)
        return earlier is not None and earlier[1] == identity

    def _path(self, *parts: str) -> str:
        return "/".join((f"scans/{self.scan_id}.zarr", *parts))

    def _attributes(self, *parts: str) -> dict[str, Any] | None:
        document = self.root.get_json(self._path(*parts, METADATA))
        return None if document is None else document["attributes"].get(nodes.ATTRIBUTES, {})

    def _read(self, *parts: str) -> NDArray[Any]:
        return nodes.read_array(self.root, self._path(*parts))

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

    def _roi_names(self, kind: str | None = None) -> list[str]:
        labels = self.root.nodes(self._path("labels"))
        own = {name: document["attributes"][nodes.ATTRIBUTES] for name, document in labels.items()}
        return [name for name in own if name != PREDICTION and kind in (None, own[name].get("kind"))]

    def _write_label(self, name: str, values: NDArray[Any], attributes: Mapping[str, Any]) -> None:
        affine = np.array(self._image_attributes()["affine"], dtype=np.float64)
        metadata = ome.label_metadata(name, Grid((1, 1, 1), affine).spacing_mm)
        put_array(self.root, self._path("labels", name, "0"), values, ome.SPACE_AXES, {})
        # The list of names comes before the marker: whoever finds the label finds it listed.
        self._list_labels({name, *self.root.nodes(self._path("labels"))})
        both = {"ome": metadata, nodes.ATTRIBUTES: dict(attributes)}
        nodes.put_group(self.root, self._path("labels", name), both)

    def _list_labels(self, names: Iterable[str]) -> None:
        nodes.put_group(self.root, self._path("labels"), {"ome": ome.labels_metadata(names)})

    def _class_path(self, kind: str, label: str, class_name: str) -> str:
        return self._path(kind, check_name("label", label), check_name("class", class_name))

    def _make_groups(self, *parts: str) -> None:
        for n in range(len(parts)):
            nodes.put_group(self.root, self._path(*parts[: n + 1]))

    def _units(self, kind: str, label: str) -> dict[str, Unit]:
        documents = self.root.nodes(self._path(kind, check_name("label", label)))
        return {
            name: Unit.of(document["attributes"][nodes.ATTRIBUTES], document["shape"])
            for name, document in documents.items()
        }
