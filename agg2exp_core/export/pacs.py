"""Results back to a PACS, scan by scan; nothing that is recorded tells whose they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from agg2exp_core.dicom import Stack
from agg2exp_core.errors import Agg2ExpError, ScanError, UsageError
from agg2exp_core.export.dicom import objects_of, requiring_dicom
from agg2exp_core.export.nifti import Wanted, write_volumes
from agg2exp_core.intake.ledger import kind_and_place
from agg2exp_core.intake.settings import IngestSettings
from agg2exp_core.pipeline.cache import store_of
from agg2exp_core.pipeline.outcomes import ScanOutcome, without_path
from agg2exp_core.settings import Flag, Place, Settings
from agg2exp_core.store import Store, identity


class ReturnSettings(Settings):
    """Where results go, and where their series are."""

    store_to: str
    """PACS (http address of DICOMweb) that takes the results of what --ingest-from fed."""
    intake: IngestSettings
    """By which the scans were imported: their series are looked for there again."""
    classes: Annotated[list[str], Flag("--return-class")] = []
    """Class whose attribution goes there too, where a scan has it (again for more)."""
    folder: Annotated[str, Place(), Flag("--return-folder")] = ""
    """Folder, as the workers see it, that gets them too, as NIfTI in each scan's own space."""

    def model_post_init(self, context: Any, /) -> None:
        """Refuse an address that is none, and a folder that scans are taken from."""
        with requiring_dicom():
            from agg2exp_core.dicom.web import web_client
        web_client(self.store_to, "--store-to")
        if self.folder:
            self._require_folder_of_its_own(Path(self.folder))

    def _require_folder_of_its_own(self, folder: Path) -> None:
        scans = [
            Path(place).resolve() for place in (self.intake.source, self.intake.into) if "://" not in place
        ]
        if "://" in self.folder or folder.is_file():
            got = self.folder
        elif any(folder.resolve().is_relative_to(place) for place in scans):
            got = f"{self.folder}, where scans are taken from"
        else:
            return
        raise UsageError(
            "--return-folder",
            got=got,
            allowed="a folder elsewhere that the workers can write to",
            remedy="name one that is mounted on them",
        )


def wanted_of(store: Store, scan_id: str, label: str, settings: ReturnSettings) -> Wanted:
    """Return which attributions of a scan go with its prediction: those with voxels."""
    units = store.scan(scan_id).units(label)
    return Wanted(label, [name for name in settings.classes if name in units])


def not_returned(store: Store, label: str, settings: ReturnSettings) -> set[str]:
    """Return the segmented scans whose results, as they are now, have not been stored there."""
    return {
        scan_id
        for scan_id in store.scans()
        if store.scan(scan_id).prediction_identity() is not None
        and store.root.get_json(_key(scan_id)) != _record(store, scan_id, label, settings)
    }


def return_scan(store: str, scan_id: str, slices: Stack, label: str, settings: ReturnSettings) -> ScanOutcome:
    """Store the results of a scan in the PACS and, where asked, a folder, and write that down."""
    with requiring_dicom():
        from agg2exp_core.dicom.web import store_objects
    opened = store_of(store)
    wanted = wanted_of(opened, scan_id, label, settings)
    record = _record(opened, scan_id, label, settings)
    with without_path(scan_id), _redacted(scan_id):
        objects = objects_of(opened, scan_id, slices, wanted)
        if settings.folder:
            write_volumes(opened.scan(scan_id), wanted, Path(settings.folder))
        store_objects(settings.store_to, list(objects.values()))
    opened.root.put_json(_key(scan_id), record)
    return ScanOutcome(scan_id, "done", n_classes=len(wanted.classes), n_computed=len(objects))


@contextmanager
def _redacted(scan_id: str) -> Iterator[None]:
    """Say of an error that nobody foresaw where it was: its text may name somebody."""
    try:
        yield
    except Agg2ExpError:
        raise
    except Exception as error:
        raise ScanError(
            scan_id,
            got=kind_and_place(error),
            allowed="a series from which objects can be made",
            remedy="it is tried again the next time",
        ) from None


def _record(store: Store, scan_id: str, label: str, settings: ReturnSettings) -> dict[str, str]:
    scan_store = store.scan(scan_id)
    units = scan_store.units(label)
    name = identity(
        prediction=scan_store.prediction_identity(),
        attributions={name: units[name].identity for name in settings.classes if name in units},
        label=label,
        store_to=settings.store_to,
        folder=settings.folder,
    )
    return {"identity": name}


def _key(scan_id: str) -> str:
    return f"returned/{scan_id}.json"
