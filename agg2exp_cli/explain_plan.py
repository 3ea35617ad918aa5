"""`agg2exp explain --plan`: what a run would cost, without a server and without running it."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from rich.table import Table

from agg2exp_cli.exit_codes import DONE, NOTHING, SOME_FAILED
from agg2exp_cli.running import console
from agg2exp_core.attribution import Estimate, Execution, estimate
from agg2exp_core.errors import ScanError, UsageError
from agg2exp_core.execution import WindowCost, available_bytes, measure_window
from agg2exp_core.pipeline.cache import model_of
from agg2exp_core.pipeline.outcomes import ScanJob
from agg2exp_core.pipeline.plan import Plan
from agg2exp_core.pipeline.prices import Missing, longest_load, method_footprint, missing_of, scan_footprint
from agg2exp_core.pipeline.settings import ExplainSettings
from agg2exp_core.types import Scan, SegmentationModel, Shape3
from agg2exp_core.volumes import load_scan


@dataclass(frozen=True)
class Line:
    """A scan with something to explain by a method, and what that costs."""

    scan_id: str
    missing: Missing
    estimate: Estimate


def print_plan(plans: Sequence[Plan], n_devices: int, n_scans: int | None) -> int:
    """Print what each scan would cost by each method and all together; return the exit code.

    Parameters
    ----------
    plans : sequence of Plan
        One a method, of the same scans.
    n_devices : int
        Devices that share the scans, all as fast as this one.
    n_scans : int or None
        Price so many scans like the one that is given, of which nothing is held.

    Raises
    ------
    ModelError
        If a scan does not fit in memory.
    UsageError
        If a number of scans is to be priced, and not one is given as their model.
    """
    jobs = {job.scan_id: job for plan in plans for job in plan.jobs}
    errors = {error.where: error for plan in plans for error in plan.errors}
    if n_scans is not None and len(jobs) != 1:
        raise UsageError(
            "--scans", got=f"{len(jobs)} scans", allowed="one scan", remedy="name one as a model"
        )
    for plan in plans:
        counts = f"{len(plan.jobs):,} new, {len(plan.kept):,} kept"
        console.print(f"{plan.settings.result_label}: {counts}", soft_wrap=True)
    found: dict[str, Scan] = {}
    lines: dict[str, list[Line]] = {}
    if jobs:
        model = model_of(plans[0].settings)
        for job in jobs.values():
            try:
                found[job.scan_id] = _without_voxels(job, model, plans[0].settings.accept)
            except ScanError as error:
                errors[error.where] = error
        cost = _measured(model)
        segmented: set[str] = set()
        for plan in plans:
            scans = [found[job.scan_id] for job in plan.jobs if job.scan_id in found]
            of_method = _lines(plan.settings, scans, cost, segmented, look=n_scans is None)
            segmented |= {line.scan_id for line in of_method}
            lines[plan.settings.result_label] = of_method
            n_held = len(scans) - len(of_method)
            console.print(_table(plan.settings.result_label, of_method))
            if n_held:
                console.print(f"{n_held} of these scans are held in full, and cost nothing more")
        _print_total(lines, n_devices, str(model.device))
        if n_scans is not None and found:
            console.print(_table_of_many(plans, lines, n_scans, n_devices))
    for refused in errors.values():
        print(f"error: {refused}", file=sys.stderr)
    if not found and not any(plan.kept for plan in plans):
        return NOTHING
    return SOME_FAILED if errors else DONE


def _without_voxels(job: ScanJob, model: SegmentationModel, accept: Collection[str]) -> Scan:
    """Return a preprocessed scan, of which only the grid and the content hash are held."""
    scan = load_scan(job.path, model, job.scan_id, accept)
    return replace(scan, image=scan.image[:1, :1, :1, :1].expand(scan.image.shape[0], *scan.grid.shape))


def _measured(model: SegmentationModel) -> WindowCost:
    with console.status("timing a window"):
        cost = measure_window(model)
    console.print(
        f"a window {_by(model.windows.shape)} of {model.name} on {model.device}: "
        f"{cost.forward_seconds:.3g} s forward, {cost.backward_seconds:.3g} s backward, "
        f"{_size(cost.n_bytes)}; {_size(available_bytes(model.device))} free",
        soft_wrap=True,
    )
    return cost


def _lines(
    settings: ExplainSettings, scans: Sequence[Scan], cost: WindowCost, segmented: set[str], *, look: bool
) -> list[Line]:
    """Return the scans with something to explain; those in `segmented` will be when this method begins."""
    model, lines = model_of(settings), []
    n_asked = len(set(settings.classes)) if settings.classes else model.n_classes
    for scan in scans:
        missing = missing_of(settings, scan) if look else Missing(scan.grid.shape, False, n_asked)
        if not missing.n_classes:
            continue
        found = estimate(
            model,
            settings.attribution_method,
            missing.shape,
            missing.n_classes,
            Execution(settings.window_batch),
            cost,
            classes_per_call=settings.classes_per_task,
            segmented=missing.segmented or scan.scan_id in segmented,
        )
        lines.append(Line(scan.scan_id, missing, found))
    return lines


def _print_total(lines: dict[str, list[Line]], n_devices: int, device: str) -> None:
    seconds: dict[str, float] = {}
    for line in (line for of_method in lines.values() for line in of_method):
        seconds[line.scan_id] = seconds.get(line.scan_id, 0.0) + (line.estimate.seconds or 0.0)
    load = longest_load(list(seconds.values()), n_devices)
    unknown = any(line.estimate.seconds is None for of_method in lines.values() for line in of_method)
    beside = ", methods of unknown cost not counted" if unknown else ""
    console.print(
        f"together {sum(seconds.values()) / 3600:,.3g} device-hours, at most; on {n_devices} x {device} "
        f"{load / 3600:,.3g} hours{beside}",
        soft_wrap=True,
    )


def _table_of_many(
    plans: Sequence[Plan], lines: dict[str, list[Line]], n_scans: int, n_devices: int
) -> Table:
    """Return what many scans cost that are like the one that is given, with voxels and without."""
    labels = ", ".join(lines)
    table = Table(
        title=f"{n_scans:,} scans like {next(iter(lines.values()))[0].scan_id}: {labels}",
        caption="At most, and before compression: each scan with all classes that are asked for, one model, "
        "no extra regions. Rows of the database: of flow runs, task runs and events, before they expire.",
    )
    table.add_column(no_wrap=True)
    for heading in ("with voxels", "without (--no-voxels)"):
        table.add_column(heading, justify="right")
    estimates = [line.estimate for of_method in lines.values() for line in of_method]
    n_windows = estimates[0].n_windows
    known = [found.passes for found in estimates if found.passes is not None]
    hours = n_scans * sum(found.seconds or 0.0 for found in estimates) / 3600
    rows = {
        "forward passes": f"{n_scans * (n_windows + sum(passes.forward for passes in known)):,}",
        "backward passes": f"{n_scans * sum(passes.backward for passes in known):,}",
        "device-hours": f"{hours:,.0f}",
        f"days on {n_devices} devices": f"{hours / 24 / n_devices:,.1f}",
    }
    for name, value in rows.items():
        table.add_row(name, value, value)
    shape, model = lines[next(iter(lines))][0].missing.shape, model_of(plans[0].settings)
    both = []
    for voxels in (True, False):
        total = scan_footprint(model, shape)
        for plan in plans:
            (line,) = lines[plan.settings.result_label]
            total += method_footprint(plan.settings, shape, line.missing.n_classes, voxels=voxels)
        both.append(total)
    table.add_row("terabytes", *(f"{n_scans * total.n_bytes / 1e12:,.3g}" for total in both))
    table.add_row("objects", *(f"{n_scans * total.n_objects:,}" for total in both))
    table.add_row("rows of the database", *(f"{n_scans * total.n_database_rows:,}" for total in both))
    return table


def _table(label: str, lines: list[Line]) -> Table:
    table = Table(
        title=f"{label}: window passes, memory and time",
        caption="At most: a class that a window does not hold costs nothing there. The segmentation passes "
        "each window once more, which the seconds include; memory is on top of what is loaded.",
    )
    table.add_column("scan", overflow="fold")
    for heading in ("voxels", "windows", "forward", "backward", "peak memory", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(line.scan_id, _by(line.missing.shape), *_cells([line.estimate]))
    if len(lines) > 1:
        table.add_section()
        table.add_row(f"{len(lines)} scans", "", *_cells([line.estimate for line in lines]))
    return table


def _cells(estimates: list[Estimate]) -> tuple[str, ...]:
    known = [found.passes for found in estimates if found.passes is not None]
    seconds = [found.seconds for found in estimates if found.seconds is not None]
    return (
        f"{sum(found.n_windows for found in estimates):,}",
        f"{sum(passes.forward for passes in known):,}" if known else "unknown",
        f"{sum(passes.backward for passes in known):,}" if known else "unknown",
        _size(max(found.peak_bytes for found in estimates)),
        f"{sum(seconds):,.1f}" if seconds else "unknown",
    )


def _by(shape: Shape3) -> str:
    return "x".join(map(str, shape))


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:,.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.1f} MB"
