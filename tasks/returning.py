"""Results back to a PACS, scan by scan; nothing that is recorded or shown tells whose they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from agg2exp_core.dicom import Stack
from agg2exp_core.errors import Agg2ExpError, ScanError, UsageError
from agg2exp_core.intake.unnamed import kind_and_place
from agg2exp_core.store import Store, identity
from tasks.intake_settings import IngestSettings
from tasks.nifti import Wanted, write_volumes
from tasks.resources import store_of
from tasks.results import objects_of, requiring_dicom
from tasks.settings import ScanOutcome, artifact_key, without_path


@dataclass(frozen=True)
class ReturnSettings:
    """Where results go, and where their series are.

    Parameters
    ----------
    store_to : str
        DICOMweb address of the PACS that takes them.
    intake : IngestSettings
        By which the scans were taken in: their series are looked for there again.
    classes : list of str
        Whose attributions go with the prediction, where a scan has them.
    folder : str
        Gets the same as ``SCAN_NAME.nii.gz``, in each scan's own space, where it is named.

    Raises
    ------
    UsageError
        If the address is none, or the folder one that workers can't write to or that scans are taken from.
    """

    store_to: str
    intake: IngestSettings
    classes: list[str] = field(default_factory=list)
    folder: str = ""

    def __post_init__(self) -> None:
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


@task(
    name="return results",
    task_run_name="return results of {scan_id}",
    persist_result=False,
    cache_policy=NO_CACHE,
)
def return_scan(store: str, scan_id: str, slices: Stack, label: str, settings: ReturnSettings) -> ScanOutcome:
    """Store the results of a scan in the PACS and, where asked, a folder, and write that down."""
    with requiring_dicom():
        from agg2exp_core.dicom.web import store_objects
    opened = store_of(store)
    wanted = wanted_of(opened, scan_id, label, settings)
    record = _record(opened, scan_id, label, settings)
    with without_path(scan_id), _unnamed(scan_id):
        objects = objects_of(opened, scan_id, slices, wanted)
        if settings.folder:
            write_volumes(opened.scan(scan_id), wanted, Path(settings.folder))
        store_objects(settings.store_to, list(objects.values()))
    opened.root.put_json(_key(scan_id), record)
    return ScanOutcome(scan_id, "done", n_classes=len(wanted.classes), n_computed=len(objects))


@contextmanager
def _unnamed(scan_id: str) -> Iterator[None]:
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


@task(name="report returned")
def report_returned(label: str, outcomes: list[ScanOutcome]) -> None:
    """Show how each scan fared in the UI."""
    n_done = sum(outcome.status == "done" for outcome in outcomes)
    create_table_artifact(
        key=artifact_key("returned", label),
        description=f"{label}: results of {n_done} of {len(outcomes)} scans stored in the PACS",
        table=[
            {"scan": o.scan_id, "status": o.status, "objects": o.n_computed, "reason": o.reason}
            for o in outcomes
        ],
    )


def _record(store: Store, scan_id: str, label: str, settings: ReturnSettings) -> dict[str, str]:
    there = store.scan(scan_id)
    units = there.units(label)
    name = identity(
        prediction=there.prediction_identity(),
        attributions={name: units[name].identity for name in settings.classes if name in units},
        label=label,
        store_to=settings.store_to,
        folder=settings.folder,
    )
    return {"identity": name}


def _key(scan_id: str) -> str:
    return f"returned/{scan_id}.json"
