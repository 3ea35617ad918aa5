"""The store as a whole: one model, labels, scans, failures, matrices over scans, files."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from agg2exp_core.errors import StoreError, out_of_range
from agg2exp_core.release import code_version
from agg2exp_core.remarks import Remark
from agg2exp_core.store.keys import check_name, json_ready, now
from agg2exp_core.store.locks import reducing
from agg2exp_core.store.matrices import GLOBAL, PLACE, Matrices, MatricesWriter
from agg2exp_core.store.nodes import ATTRIBUTES
from agg2exp_core.store.root import Root, locate
from agg2exp_core.store.rows import Rows, earlier_rows
from agg2exp_core.store.scan import ScanStore

_FORMAT = 2
"""1, of release 0.1.0, has the rows of a scan's matrices as a Zarr group beside the scan."""
_MARKER = "agg2exp.json"


@dataclass(frozen=True)
class Label:
    """What a readable label stands for: a method and its parameters."""

    method: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Failure:
    """Why a scan is not complete: the stage that failed and the reason, for people."""

    stage: str
    reason: str


@dataclass(frozen=True, eq=False)
class Store:
    """A store at one root; see `open_store`.

    Parameters
    ----------
    root : Root
        Where it lies.
    """

    root: Root

    @property
    def uri(self) -> str:
        """Local path or ``s3://bucket/prefix``."""
        return self.root.uri

    @property
    def model(self) -> dict[str, Any] | None:
        """The record of the model that this store belongs to, or None before one is registered."""
        record: dict[str, Any] | None = self.root.get_json("model.json")
        return record

    def register_model(self, record: Mapping[str, Any]) -> None:
        """Let this store belong to a model; who comes later must bring the same one.

        Parameters
        ----------
        record : mapping
            JSON-ready: name, fingerprint, class_names, windows, preprocessing.

        Raises
        ------
        StoreError
            If the store holds a model with another fingerprint.
        """
        held = self.root.claim_json("model.json", record)
        if held["fingerprint"] != record["fingerprint"]:
            raise StoreError(
                self.uri,
                got=f"the model {record['name']!r}, but the store holds another model: {held['name']!r}",
                allowed="one model per store",
                remedy="use another store for this model",
            )

    def register_label(self, label: str, method: str, params: Mapping[str, Any]) -> None:
        """Let a label stand for a method and its parameters; it may stand for nothing else later.

        Raises
        ------
        StoreError
            If the label already stands for another method or other parameters.
        """
        key = f"labels/{check_name('label', label)}.json"
        wanted = {"method": method, "params": json_ready(params)}
        held = self.root.claim_json(key, wanted)
        if held != wanted:
            raise StoreError(
                f"--label {label}",
                got=f"{method} with {wanted['params']}, but the store holds {held['method']} "
                f"with {held['params']} under this label",
                allowed="one method with one set of parameters per label",
                remedy="choose another --label, or the stored parameters",
            )

    def labels(self) -> dict[str, Label]:
        """Return the registered labels."""
        return {name: Label(**record) for name, record in self._records("labels").items()}

    def note_version(self, label: str) -> None:
        """Note that this code wrote results under a label."""
        key = f"made_by/{check_name('label', label)}/{code_version()}.json"
        self.root.put_json(key, {"since": now()}, overwrite=False)

    def versions(self, label: str) -> dict[str, str]:
        """Return the code that wrote results under a label, and since when; release 0.1.0 left no note."""
        notes = self._records(f"made_by/{check_name('label', label)}")
        return {version: record["since"] for version, record in notes.items()}

    def scans(self) -> list[str]:
        """Return the ids of the scans whose image is stored, sorted."""
        return [name.removesuffix(".zarr") for name in self.root.nodes("scans")]

    def scan(self, scan_id: str) -> ScanStore:
        """Return the place of one scan, stored or not yet.

        Raises
        ------
        StoreError
            If the id cannot be a key.
        """
        return ScanStore(self.root, check_name("scan", scan_id))

    def doubts(self, scan_ids: Sequence[str]) -> list[dict[str, dict[str, float]]]:
        """Return what `ScanStore.doubt` says of several scans, fetched together; {} for one not there."""
        return [dict(told.get("doubt", {})) for told in self._told(scan_ids, "labels/prediction/")]

    def remarks(self, scan_ids: Sequence[str]) -> list[tuple[Remark, ...]]:
        """Return what `ScanStore.remarks` says of several scans, fetched together."""
        both = zip(self._told(scan_ids), self._told(scan_ids, "labels/prediction/"), strict=True)
        return [tuple(Remark.of_json(r) for told in each for r in told.get("remarks", ())) for each in both]

    def _told(self, scan_ids: Sequence[str], place: str = "") -> list[dict[str, Any]]:
        """Return our own attributes of a node of each scan; {} where it is not there."""
        keys = [f"scans/{check_name('scan', scan_id)}.zarr/{place}zarr.json" for scan_id in scan_ids]
        documents = map(json.loads, (found or b"{}" for found in self.root.get_many(keys)))
        return [document.get("attributes", {}).get(ATTRIBUTES, {}) for document in documents]

    def record_failure(self, scan_id: str, stage: str, reason: str) -> None:
        """Record why a scan failed; its last failure is kept."""
        key = f"failures/{check_name('scan', scan_id)}.json"
        self.root.put_json(key, asdict(Failure(stage, reason)))

    def failures(self) -> dict[str, Failure]:
        """Return the recorded failures by scan id."""
        return {scan_id: Failure(**record) for scan_id, record in self._records("failures").items()}

    def failure(self, scan_id: str) -> Failure | None:
        """Return the recorded failure of a scan, or None."""
        record = self.root.get_json(f"failures/{check_name('scan', scan_id)}.json")
        return None if record is None else Failure(**record)

    def clear_failure(self, scan_id: str) -> None:
        """Forget a scan's failure, if there is one."""
        self.root.delete(f"failures/{check_name('scan', scan_id)}.json")

    def _records(self, folder: str) -> dict[str, Any]:
        names = [name for name in self.root.children(folder) if name.endswith(".json")]
        return {name.removesuffix(".json"): self.root.get_json(f"{folder}/{name}") for name in names}

    def write_importance(self, label: str, local: xr.Dataset, global_: xr.Dataset) -> None:
        """Write matrices and their summary as a whole: ``importance.zarr``, group by label.

        Parameters
        ----------
        label : str
            The group; its summary is the group ``<label>/global``.
        local : Dataset with dimensions (scan, target, roi)
            The matrices of the scans.
        global_ : Dataset with dimensions (target, roi)
            The summary over scans.
        """
        scans = [str(name) for name in local["scan"].values]
        with reducing(self.root):
            writer = MatricesWriter(self.matrices(label), local, len(scans))
            for start, stop in writer.blocks():
                writer.write(start, local.isel(scan=slice(start, stop)))
            writer.publish(scans, [""] * len(scans), global_)

    def matrices(self, label: str) -> Matrices:
        """Return the matrices of all scans as they are to be seen, there or not yet."""
        return Matrices.of(self.root, label)

    def rows(self, label: str) -> Rows:
        """Return the rows that matrices are made of."""
        return Rows(self.root, check_name("label", label))

    def importance(self, label: str, variables: Collection[str] | None = None) -> xr.Dataset:
        """Return the matrices of all scans, dimensions (scan, target, roi), loaded.

        Parameters
        ----------
        label : str
            Which.
        variables : collection of str, optional
            Those of these that there are; by default all.

        Raises
        ------
        StoreError
            If there are none under this label.
        """
        with self.root.guard(PLACE), self.matrices(label).open() as dataset:
            names = [name for name in dataset.data_vars if variables is None or name in variables]
            return dataset[names].load()

    def global_importance(self, label: str) -> xr.Dataset:
        """Return the summary over scans, dimensions (target, roi), loaded.

        Raises
        ------
        StoreError
            If there is none under this label.
        """
        with self.root.guard(PLACE), self.matrices(label).open(GLOBAL) as dataset:
            return dataset.load()

    def adopt_earlier_rows(self) -> None:
        """Lay the rows of a store of release 0.1.0 where today's are, once; what is there stays."""
        if self.root.get_json(_MARKER) == {"format": _FORMAT}:
            return
        for label in self.labels():
            rows = self.rows(label)
            known = rows.known()
            for scan_id in self.scans():
                if scan_id not in known and (found := earlier_rows(self.root, scan_id, label)):
                    rows.write(scan_id, *found)
        self.root.put_json(_MARKER, {"format": _FORMAT})

    def write_file(self, name: str, content: bytes) -> None:
        """Write a file under the root, such as ``report/index.html``; whoever reads it sees all of it."""
        self.root.put(_file_key(name), content)

    def read_file(self, name: str) -> bytes:
        """Return the content of a file under the root.

        Raises
        ------
        StoreError
            If there is no such file.
        """
        content = self.root.get(_file_key(name))
        if content is None:
            raise StoreError(
                f"{self.uri}/{name}", got="no file", allowed="a written file", remedy="check its name"
            )
        return content


def _file_key(name: str) -> str:
    return "/".join(check_name("file", part) for part in name.split("/"))


def is_store(uri: str | Path) -> bool:
    """Say whether there is a store at an address; nothing is written.

    Raises
    ------
    StoreError
        If the address is none, or nobody answers there.
    """
    return locate(uri).get(_MARKER) is not None


def open_store(uri: str | Path, *, create: bool = False) -> Store:
    """Open a store on a local path or on S3.

    Parameters
    ----------
    uri : str or Path
        Local path or ``s3://bucket/prefix``. For S3 the endpoint and the credentials come from the
        environment (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or the AWS files.
    create : bool
        Open for writing, and make the store where there is none.

    Returns
    -------
    Store
        The opened store.

    Raises
    ------
    StoreError
        If there is no store (without `create`), if it cannot be written (with `create`), or if it was
        written by a newer release.
    """
    root = locate(uri)
    if create:
        probe = f".probe-{uuid.uuid4().hex}"
        root.put(probe, b"")
        root.delete(probe)
        root.put_json(_MARKER, {"format": _FORMAT}, overwrite=False)
    marker = root.get_json(_MARKER)
    if marker is None:
        raise StoreError(
            root.uri,
            got="no store",
            allowed="the address of an existing store",
            remedy="check the address, or explain a scan into it first",
        )
    if not 1 <= marker["format"] <= _FORMAT:
        got, remedy = f"a store of format {marker['format']}", "use the release of agg2exp that wrote it"
        allowed = f"format 1 to {_FORMAT}"
        raise out_of_range(f"{root.uri}/{_MARKER}", got, allowed, kind=StoreError, remedy=remedy)
    return Store(root)
