"""Which scans a store holds all of, told without opening one: by the files they were read from.

When a scan is complete, a mark says so in the store, with the state of its files and the identity of what was
asked for (`agg2exp_core.store.marks`). A plan lists the marks, and leaves such scans alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agg2exp_core.attribution import choose_classes
from agg2exp_core.pipeline.cache import model_of, store_of
from agg2exp_core.pipeline.outcomes import ScanJob
from agg2exp_core.pipeline.reduce import ROWS_VERSION
from agg2exp_core.pipeline.settings import ExplainSettings
from agg2exp_core.store import identity
from agg2exp_core.store.marks import Mark, all_marks, marks_of, put_mark, secret_of
from agg2exp_core.store.root import locate
from agg2exp_core.volumes import Stamp, keyed, roi_files, stamp_of, state_of

_DIGITS = 32
"""Hexadecimal digits of an answer in a mark."""


@dataclass(frozen=True)
class Known:
    """What the marks of a store say.

    Parameters
    ----------
    marks : mapping of str to set of Mark
        Of the scans that the store holds, by scan id.
    sources : mapping of str to str
        Scan id by source: of what the store has ever held.
    secret : bytes
        Key of the sources.
    """

    marks: Mapping[str, frozenset[Mark]]
    sources: Mapping[str, str]
    secret: bytes = b""

    @classmethod
    def of(cls, uri: str) -> Known:
        """List the marks of a store, which need not be there yet.

        Raises
        ------
        StoreError
            If it cannot be listed.
        """
        root = locate(uri)
        found = all_marks(root)
        held = {name.removesuffix(".zarr") for name in root.children("scans")} if found else set()
        sources = {mark.source: scan_id for scan_id in sorted(found) for mark in found[scan_id]}
        marks = {scan_id: frozenset(found[scan_id]) for scan_id in held & found.keys()}
        return cls(marks, sources, secret_of(root) if found else b"")

    def scan_id(self, source: str) -> str | None:
        """Return the id that a source has had in this store, or None."""
        return self.sources.get(keyed(source, self.secret)) if self.sources else None

    def holds(self, job: ScanJob, answer: Callable[[str], str]) -> bool:
        """Say whether a scan is complete, and its files are as they were."""
        marks = self.marks.get(job.scan_id)
        if marks is None:
            return False
        try:
            stamp = stamp_of(job.path).keyed(self.secret)
            return Mark(stamp.source, stamp.state, answer(job.scan_id)) in marks
        except OSError:  # whoever reads it says what is wrong
            return False


def answer_to(settings: ExplainSettings) -> Callable[[str], str]:
    """Return a function from a scan id to the identity of all that settings ask of a scan."""
    model = model_of(settings)
    asked = identity(
        version=ROWS_VERSION,
        label=settings.result_label,
        model=model.fingerprint,
        classes=sorted(model.class_names[c] for c in choose_classes(model, settings.classes)),
        voxels=settings.voxels,
        **settings.recipe,
    )
    if settings.rois is None:
        return lambda scan_id: asked[:_DIGITS]
    rois, names = settings.rois, settings.roi_names
    return lambda scan_id: identity(asked=asked, rois=state_of(roi_files(rois, scan_id, names)))[:_DIGITS]


def is_unchanged(store: str, scan_id: str, stamp: Stamp | None) -> bool:
    """Say whether a scan of the store was read from files of this stamp, whatever was asked for."""
    if stamp is None:
        return False
    root = store_of(store).root
    marks = marks_of(root, scan_id)
    stamp = stamp.keyed(secret_of(root)) if marks else stamp
    return any((mark.source, mark.state) == (stamp.source, stamp.state) for mark in marks)


def mark_complete(job: ScanJob, settings: ExplainSettings, stamp: Stamp | None) -> None:
    """Say in the store that it holds all that settings ask of a scan, as read from files of this stamp."""
    if stamp is None:
        return
    store = store_of(settings.store)
    stamp = stamp.keyed(secret_of(store.root))
    mark = Mark(stamp.source, stamp.state, answer_to(settings)(job.scan_id))
    told = {"label": settings.result_label, "content_hash": store.scan(job.scan_id).content_hash()}
    put_mark(store.root, job.scan_id, mark, told)


def stamp_or_none(path: str) -> Stamp | None:
    """Return the stamp of a scan's files; None where they cannot be looked at."""
    try:
        return stamp_of(path)
    except OSError:
        return None
