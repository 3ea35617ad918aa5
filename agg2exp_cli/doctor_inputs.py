"""What the doctor says of a model, of a scan, and of a scan for a model."""

from __future__ import annotations

from pathlib import Path

from agg2exp_cli.doctor import Check
from agg2exp_core.errors import Agg2ExpError
from agg2exp_core.models import check_network, is_model, load_model
from agg2exp_core.remarks import sentence
from agg2exp_core.types import Grid, SegmentationModel
from agg2exp_core.volumes import find_scans, load_scan, read_volume
from agg2exp_core.volumes.discovery import EXTENSIONS


def check_inputs(path: str | None, model_ref: str | None, device: str) -> list[Check] | None:
    """Look at a model, at a scan, or at both; return None where `path` is neither.

    Parameters
    ----------
    path : str, optional
        A scan, or a model where `model_ref` is left out.
    model_ref : str, optional
        A model, as `agg2exp_core.models.load_model` takes it.
    device : str
        Where the network is tried.
    """
    if model_ref is None and path is not None and is_model(path):
        path, model_ref = None, path
    if model_ref is None:
        return check_scan(path, None) if path is not None and _may_be_scan(path) else None
    model, checks = check_model(model_ref, device)
    return [*checks, *(check_scan(path, model) if path is not None else [])]


def check_model(ref: str, device: str) -> tuple[SegmentationModel | None, list[Check]]:
    """Load a model and try its network on windows of noise; return it, if it can be loaded."""
    model = None
    try:
        model = load_model(ref, device)
        remarks = check_network(model)
    except Agg2ExpError as error:
        return model, [Check("model", False, f"{error.where}: {error.got}", error.remedy)]
    shape = " x ".join(map(str, model.windows.shape))
    detail = f"{model.name}: {model.n_classes} classes, windows of {shape}; gives the same logits each time"
    if remarks:
        return model, [Check("model", None, f"{detail}; {sentence(remarks)}", "check that it is meant so")]
    return model, [Check("model", True, detail)]


def check_scan(path: str, model: SegmentationModel | None) -> list[Check]:
    """Read each scan that a path means, for a model where there is one."""
    try:
        found, errors = find_scans([path])
    except Agg2ExpError as error:
        found, errors = [], []
        return [Check("scan", False, f"{error.where}: {error.got}", error.remedy)]
    checks = [Check("scan", False, f"{error.where}: {error.got}", error.remedy) for error in errors]
    for scan in found:
        name = f"scan {scan.scan_id}"
        try:
            if model is None:
                volume = read_volume(scan.path)
                grid, remarks = volume.grid, volume.remarks
            else:
                loaded = load_scan(scan.path, model, scan.scan_id)
                grid, remarks = loaded.source, loaded.remarks
        except Agg2ExpError as error:
            checks.append(Check(name, False, error.got, error.remedy))
            continue
        detail = "; ".join(filter(None, (_size(grid), sentence(remarks))))
        remedy = "check that it is meant so" if remarks else ""
        checks.append(Check(name, None if remarks else True, detail, remedy))
    return checks


def _size(grid: Grid) -> str:
    voxels, mm = (" x ".join(f"{v:.4g}" for v in values) for values in (grid.shape, grid.spacing_mm))
    return f"{voxels} voxels of {mm} mm"


def _may_be_scan(path: str) -> bool:
    """Say whether a path looks like scans: no store is made in its place."""
    place = Path(path)
    if place.is_file() or path.endswith(EXTENSIONS):
        return True
    return place.is_dir() and not (place / "zarr.json").exists() and bool(find_scans([path])[0])
