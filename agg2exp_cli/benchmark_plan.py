"""`agg2exp benchmark --plan`: what a benchmark would cost, here and by the published procedure."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.table import Table

from agg2exp_cli.exit_codes import DONE, NOTHING, SOME_FAILED
from agg2exp_cli.running import console
from agg2exp_core.attribution.method import Geometry, Method, Passes
from agg2exp_core.errors import ScanError
from agg2exp_core.execution import WindowCost, measure_window
from agg2exp_core.metrics import Metric
from agg2exp_core.metrics.cost import in_procedure, our_passes, procedure_passes
from agg2exp_core.pipeline.benchmark_settings import BenchmarkSettings
from agg2exp_core.pipeline.cache import model_of
from agg2exp_core.pipeline.plan import Plan
from agg2exp_core.volumes import load_scan
from agg2exp_core.windows import Tiling

Count = Callable[[Geometry], Passes]
"""Window passes of one scan."""


@dataclass(frozen=True)
class Sheet:
    """What a table of costs is filled from.

    Parameters
    ----------
    geometries : list of Geometry
        One a scan.
    cost : WindowCost
        Of one window on this device.
    n_devices : int
        Devices that share the scans; a scan stays on one.
    """

    geometries: list[Geometry]
    cost: WindowCost
    n_devices: int

    def passes(self, count: Count) -> Passes:
        """Return the passes of all scans."""
        total = Passes(0)
        for geometry in self.geometries:
            total = total.plus(count(geometry))
        return total

    def seconds(self, passes: Passes) -> float:
        """Return the seconds that passes take on one device."""
        return passes.forward * self.cost.forward_seconds + passes.backward * self.cost.backward_seconds

    def seconds_a_device(self, count: Count) -> float:
        """Return the seconds of the device that has most to do: each scan goes where least waits."""
        loads = [0.0] * self.n_devices
        for seconds in sorted((self.seconds(count(g)) for g in self.geometries), reverse=True):
            loads[loads.index(min(loads))] += seconds
        return max(loads)

    def line(self, table: Table, name: str, count: Count) -> None:
        """Add a line to the table."""
        passes = self.passes(count)
        seconds = (self.seconds_a_device(count), self.seconds(passes))
        cells = (f"{passes.forward:,}", f"{passes.backward:,}", *(f"{s:,.0f}" for s in seconds))
        table.add_row(name, *cells)


def print_benchmark_plan(checked: Plan, settings: BenchmarkSettings, n_devices: int) -> int:
    """Print passes and seconds of each method and metric, of all, and of the published procedure.

    Parameters
    ----------
    checked : Plan
        The scans.
    settings : BenchmarkSettings
        Methods and metrics.
    n_devices : int
        Devices that share the scans, all as fast as this one.
    """
    errors, geometries = list(checked.errors), []
    for job in checked.usable:
        model = model_of(settings.judged[0])
        try:
            shape = load_scan(job.path, model, job.scan_id).grid.shape
        except ScanError as error:
            errors.append(error)
            continue
        n_explained = len(set(settings.judged[0].classes or model.class_names))
        tiling = Tiling(model.windows, shape)
        geometries.append(Geometry(tiling, model.n_channels, model.n_classes, n_explained))
    for refused in errors:
        print(f"error: {refused}", file=sys.stderr)
    if not geometries:
        return NOTHING
    console.print(_table(settings, geometries, n_devices))
    return SOME_FAILED if errors else DONE


def _table(settings: BenchmarkSettings, geometries: list[Geometry], n_devices: int) -> Table:
    model = model_of(settings.judged[0])
    with console.status("timing a window"):
        sheet = Sheet(geometries, measure_window(model), n_devices)
    methods = [method.attribution_method for method in settings.judged]
    beside = [m.attribution_method for m in settings.explained if m not in settings.judged]
    metrics = [choice.metric for choice in settings.choices]
    theirs = in_procedure(methods, metrics)
    table = Table(title=f"benchmark of {len(geometries)} scans on {n_devices} x {model.device}")
    table.add_column(no_wrap=True)
    for heading in ("forward", "backward", "seconds a device", "seconds in all"):
        table.add_column(heading, justify="right")
    sheet.line(table, "segmentation", _segmentation)
    for method in [*methods, *beside]:
        name = f"{method.name}, the reference method" if method in beside else method.name
        if method.passes(geometries[0]) is not None:
            sheet.line(table, name, lambda g, m=method: our_passes(g, [m], []))  # type: ignore[misc]
        else:
            table.add_row(name, *["unknown"] * 4)
    for metric in metrics:
        sheet.line(table, metric.name, lambda g, m=metric: _of_metric(g, methods, m))  # type: ignore[misc]
    table.add_section()
    sheet.line(table, "all", lambda g: _all(g, methods, beside, metrics))
    table.add_section()
    sheet.line(table, "of these, by both", lambda g: our_passes(g, *theirs))
    sheet.line(table, "the published procedure", lambda g: procedure_passes(g, *theirs))
    table.caption = _caption(sheet, *theirs)
    return table


def _segmentation(geometry: Geometry) -> Passes:
    return Passes(geometry.n_windows)


def _of_metric(geometry: Geometry, methods: Sequence[Method], metric: Metric) -> Passes:
    """Return the passes that a metric adds to those of the methods."""
    both, alone = our_passes(geometry, methods, [metric]), our_passes(geometry, methods, [])
    return Passes(both.forward - alone.forward, both.backward - alone.backward)


def _all(
    geometry: Geometry, methods: Sequence[Method], beside: Sequence[Method], metrics: Sequence[Metric]
) -> Passes:
    ours = our_passes(geometry, methods, metrics).plus(our_passes(geometry, beside, []))
    return ours.plus(_segmentation(geometry))


def _caption(sheet: Sheet, methods: Sequence[Method], metrics: Sequence[Metric]) -> str:
    told = "At most: what the store holds is not made again, and a class costs nothing where it is absent."
    if not methods or not metrics:
        return told
    ours = sheet.passes(lambda g: our_passes(g, methods, metrics))
    procedure = sheet.passes(lambda g: procedure_passes(g, methods, metrics))
    times = sum(procedure) / sum(ours)
    return (
        f"{told} The published procedure has {', '.join(m.name for m in methods)} and "
        f"{', '.join(m.name for m in metrics)}; for these it takes {times:,.1f} times as many passes."
    )
