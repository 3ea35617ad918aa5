"""From the store to files that other programs read: NIfTI and DICOM in the scan's own space, tables."""

from __future__ import annotations

from pathlib import Path

from agg2exp_core.dicom.saving import save
from agg2exp_core.errors import UsageError
from agg2exp_core.files import whole_file
from agg2exp_core.importance import to_table
from agg2exp_core.store import Store, open_store
from flows.checks import labels_of
from tasks.nifti import Wanted, write_volume, write_volumes
from tasks.reading import one_of


def export_volume(
    store: str, scan_id: str | None, label: str | None, class_name: str | None, out: Path
) -> Path:
    """Write an attribution, or without a class the label map, as NIfTI on the grid of the input.

    Raises
    ------
    UsageError
        If there is no such scan, label or class, if its voxels are not kept, or the file is to be of another
        kind.
    """
    if not out.name.endswith((".nii", ".nii.gz")):
        raise UsageError("--out", got=str(out), allowed=".nii.gz, .nii or .csv", remedy="rename the file")
    opened = open_store(store)
    there = opened.scan(one_of("--scan-id", scan_id, opened.scans()))
    chosen = "" if class_name is None else one_of("--label", label, list(opened.labels()))
    write_volume(there, chosen, class_name, out)
    return out


def export_matrices(store: str, label: str | None, out: Path) -> Path:
    """Write the local matrices of all scans as a table in the paper's column scheme.

    Raises
    ------
    UsageError
        If the store has no such label, or the file cannot be written.
    """
    opened: Store = open_store(store)
    chosen = one_of("--label", label, labels_of(store, None))
    table = to_table(opened.importance(chosen)).to_csv(index=False)
    with whole_file(out) as partial:
        partial.write_text(table, encoding="utf-8")
    return out


def export_dicom(
    store: str,
    scan_id: str | None,
    label: str | None,
    class_name: str | None,
    series: Path | None,
    out: Path,
    store_to: str | None = None,
) -> list[Path]:
    """Write the prediction, and with a class its attribution, as DICOM objects, and as NIfTI beside them.

    They refer to the images of the series and carry its patient's identity, which goes into them alone.

    Parameters
    ----------
    store : str
        Address of the store.
    scan_id, label, class_name : str, optional
        Which scan, which results, which class; where there is one, it need not be named.
    series : Path or None
        Folder of the series that was explained; without it nothing can be written.
    out : Path
        Folder for the files, whose names hold the scan's id alone.
    store_to : str, optional
        DICOMweb address of a PACS that the objects are stored in as well.

    Raises
    ------
    Agg2ExpError
        If there is no such scan, label or class, the series is of another scan or lacks what objects have to
        say, or the PACS does not take them.
    """
    from tasks.results import objects_of, requiring_dicom, series_in

    with requiring_dicom():
        from agg2exp_core.dicom.web import store_objects, web_client
    if out.is_file() or out.suffix in (".csv", ".dcm", ".gz", ".nii"):
        raise UsageError("--out", got=str(out), allowed="a folder, with --dicom", remedy="name a folder")
    if series is None:
        raise UsageError(
            "--store-to",
            got="it without --dicom",
            allowed="both",
            remedy="name the folder of the scan's series",
        )
    if store_to is not None:
        web_client(store_to, "--store-to")
    opened = open_store(store)
    chosen = one_of("--scan-id", scan_id, opened.scans())
    results = one_of("--label", label, list(opened.labels())) if class_name is not None else ""
    wanted = Wanted(results, [class_name] if class_name is not None else [])
    objects = objects_of(opened, chosen, series_in(series), wanted)
    written = []
    for name, made in objects.items():
        written.append(out / f"{chosen}_{name}.dcm")
        save(written[-1], made)
    written += write_volumes(opened.scan(chosen), wanted, out)
    if store_to is not None:
        store_objects(store_to, list(objects.values()))
    return written
