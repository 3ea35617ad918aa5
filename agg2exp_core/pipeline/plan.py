"""What a run will do, with everything checked that can be checked before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agg2exp_core.attribution import choose_classes
from agg2exp_core.datasets import read_datalist
from agg2exp_core.errors import ScanError, UsageError
from agg2exp_core.models import check_reference
from agg2exp_core.pipeline.cache import model_of, network_remarks, store_of
from agg2exp_core.pipeline.known import Known, answer_to
from agg2exp_core.pipeline.outcomes import Rejected, ScanJob
from agg2exp_core.pipeline.settings import ExplainSettings
from agg2exp_core.store import Store, check_name
from agg2exp_core.types import SegmentationModel
from agg2exp_core.volumes import count_channels, find_scans
from agg2exp_core.volumes.discovery import safe_name, stem


@dataclass(frozen=True)
class Plan:
    """What will be run.

    Parameters
    ----------
    jobs : list of ScanJob
        Scans to work on: new, changed, or not complete; their headers can be read.
    kept : list of ScanJob
        Scans that the store holds all of, from files that have not changed since: nothing was opened.
    errors : list of ScanError
        Those that cannot, each with its reason.
    rejected : list of Rejected
        The same without their paths, for the record.
    settings : ExplainSettings
        How the scans are explained.
    """

    jobs: list[ScanJob]
    kept: list[ScanJob]
    errors: list[ScanError]
    rejected: list[Rejected]
    settings: ExplainSettings

    @property
    def usable(self) -> list[ScanJob]:
        """All scans that are not refused, by scan id."""
        return sorted([*self.kept, *self.jobs], key=lambda job: job.scan_id)


def given_scans(scans: Sequence[str] | None, datalist: Path | None, split: str) -> list[str]:
    """Return the scans of a command line: those named, then those of a split of a datalist.

    Raises
    ------
    UsageError
        If there are none, or the datalist cannot be read.
    """
    listed = read_datalist(datalist, split) if datalist else []
    given = [*(scans or []), *(str(entry["image"]) for entry in listed)]
    if not given:
        raise UsageError(
            "SCANS", got="no scan", allowed="files, folders, or --datalist FILE.json", remedy="name some"
        )
    return given


def plan_scans(scans: Sequence[str], scan_id: str | None, settings: ExplainSettings) -> Plan:
    """Find scans, those to work on and those that are complete; check them, method, model and classes.

    Of a scan that is complete the state of its files is looked at, of another its header; no voxel is read.

    Raises
    ------
    Agg2ExpError
        If the settings cannot be honoured; what is wrong with single scans is in the plan.
    """
    check_name("label", settings.result_label)
    _check_regions(settings)
    check_reference(settings.model)
    known = Known.of(settings.store)
    found, errors = find_scans(scans, scan_id, known.scan_id)
    taken = {scan.scan_id for scan in found}
    rejected = [Rejected(_free_name(error.where, taken), error.reason) for error in errors]
    jobs, kept = _sorted_out([ScanJob(scan.scan_id, str(scan.path)) for scan in found], settings, known)
    usable: list[ScanJob] = []
    for job in jobs:
        try:
            _check_channels(job, settings)
            usable.append(job)
        except ScanError as error:
            errors.append(error)
            rejected.append(Rejected(job.scan_id, error.reason))
    if usable:
        choose_classes(model_of(settings), settings.classes)
        network_remarks(settings)
    return Plan(usable, kept, errors, rejected, settings)


def _sorted_out(
    found: list[ScanJob], settings: ExplainSettings, known: Known
) -> tuple[list[ScanJob], list[ScanJob]]:
    """Return the scans to look at, and those that are complete."""
    if settings.recheck or settings.restore_voxels or not known.marks:
        return found, []
    answer = answer_to(settings)
    is_kept = [known.holds(job, answer) for job in found]
    return (
        [job for job, kept in zip(found, is_kept, strict=True) if not kept],
        [job for job, kept in zip(found, is_kept, strict=True) if kept],
    )


def register(store: Store, model: SegmentationModel, settings: ExplainSettings) -> None:
    """Say in the store which model and which method its results are of.

    Raises
    ------
    StoreError
        If it holds another model, or other parameters under the label.
    """
    store.register_model(
        {
            "name": model.name,
            "fingerprint": model.fingerprint,
            "class_names": list(model.class_names),
            "n_channels": model.n_channels,
            "windows": dict(model.windows),
            "preprocessing": dict(model.preprocessing.describe()),
            "decision": model.decision,
            "origin": dict(model.origin),
        }
    )
    recipe = settings.recipe
    beside = {name: value for name, value in recipe.items() if name not in ("method", "params")}
    store.register_label(settings.result_label, recipe["method"], {**recipe["params"], **beside})


def claim_store(plan: Plan) -> None:
    """Say in the store what will be in it.

    Raises
    ------
    StoreError
        If it cannot be written, or holds results of another model or other parameters.
    """
    settings = plan.settings
    register(store_of(settings.store), model_of(settings), settings)


def _check_channels(job: ScanJob, settings: ExplainSettings) -> None:
    """Refuse a scan whose header shows no scan, or other channels than the model's.

    A bundle's transforms may make channels of others.
    """
    n_channels, model = count_channels(job.path), model_of(settings)
    if n_channels != model.n_channels and model.preprocessing.describe().get("kind") != "monai":
        raise ScanError(
            job.path,
            got=f"{n_channels} channel{'s' * (n_channels > 1)}",
            allowed=f"the model's {model.n_channels}: the fourth axis of a NIfTI file",
            remedy="put the channels of a scan into one file, or use another model",
        )


def _free_name(path: str, taken: set[str]) -> str:
    """Return a scan id for a path that holds no scan, told apart from those that do."""
    name = safe_name(stem(Path(path)))
    while name in taken:
        name += "-unusable"
    taken.add(name)
    return name


def _check_regions(settings: ExplainSettings) -> None:
    method = settings.attribution_method
    if method.region == "" or (method.region is not None and settings.rois is None):
        raise UsageError(
            "aggregation",
            got=f"{method.aggregation!r} without regions",
            allowed="roi:NAME, with a region of that name in --rois",
            remedy="give --rois, and name one of its regions",
        )
    for option, value in (("--rois", settings.rois), ("--roi-names", settings.roi_names)):
        if value is not None and not Path(value).exists():
            raise UsageError(
                option, got=f"{value}, which is not there", allowed="a path", remedy="check the path"
            )
