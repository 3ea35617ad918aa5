"""`agg2exp explain --plan`: what a run would cost, without a server and without running it."""

from __future__ import annotations

import sys

from rich.table import Table

from agg2exp_cli.exit_codes import DONE, NOTHING, SOME_FAILED
from agg2exp_cli.running import console
from agg2exp_core.attribution import Estimate, Execution, estimate
from agg2exp_core.errors import ScanError
from agg2exp_core.execution import available_bytes, measure_window
from agg2exp_core.pipeline.cache import model_of
from agg2exp_core.pipeline.plan import Plan
from agg2exp_core.types import Shape3
from agg2exp_core.volumes import load_scan


def print_plan(plan: Plan) -> int:
    """Print what each scan would cost and all together; return the exit code.

    Raises
    ------
    ModelError
        If a scan does not fit in memory.
    """
    settings, errors = plan.settings, list(plan.errors)
    console.print(f"{len(plan.jobs):,} new, {len(plan.kept):,} kept", soft_wrap=True)
    lines: list[tuple[str, Shape3, Estimate]] = []
    if plan.jobs:
        model = model_of(settings)
        with console.status("timing a window"):
            cost = measure_window(model)
        console.print(
            f"a window {_by(model.windows.shape)} of {model.name} on {model.device}: "
            f"{cost.forward_seconds:.3g} s forward, {cost.backward_seconds:.3g} s backward, "
            f"{_size(cost.n_bytes)}; {_size(available_bytes(model.device))} free",
            soft_wrap=True,
        )
        n_explained = len(set(settings.classes)) if settings.classes else model.n_classes
        execution = Execution(settings.window_batch)
        for job in plan.jobs:
            try:
                grid = load_scan(job.path, model, job.scan_id).grid
            except ScanError as error:
                errors.append(error)
                continue
            found = estimate(
                model,
                settings.attribution_method,
                grid.shape,
                n_explained,
                execution,
                cost,
                classes_per_call=settings.classes_per_task,
            )
            lines.append((job.scan_id, grid.shape, found))
        console.print(_table(settings.result_label, lines))
    for refused in errors:
        print(f"error: {refused}", file=sys.stderr)
    if not lines and not plan.kept:
        return NOTHING
    return SOME_FAILED if errors else DONE


def _table(label: str, lines: list[tuple[str, Shape3, Estimate]]) -> Table:
    table = Table(
        title=f"{label}: window passes, memory and time",
        caption="At most: a class that a window does not hold costs nothing there. The segmentation passes "
        "each window once more, which the seconds include; memory is on top of what is loaded.",
    )
    table.add_column("scan", overflow="fold")
    for heading in ("voxels", "windows", "forward", "backward", "peak memory", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    for scan_id, shape, found in lines:
        table.add_row(scan_id, _by(shape), *_cells([found]))
    if len(lines) > 1:
        table.add_section()
        table.add_row(f"{len(lines)} scans", "", *_cells([found for _, _, found in lines]))
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
