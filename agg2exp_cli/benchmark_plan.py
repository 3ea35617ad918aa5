"""`agg2exp benchmark --plan`: what a benchmark would cost, here and by the published procedure."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from rich.table import Table

from agg2exp_cli.exit_codes import DONE, NOTHING, SOME_FAILED
from agg2exp_cli.running import console
from agg2exp_core.attribution import choose_classes
from agg2exp_core.attribution.method import Geometry, Method, Passes
from agg2exp_core.errors import ScanError
from agg2exp_core.execution import WindowCost, measure_window
from agg2exp_core.metrics import Metric
from agg2exp_core.metrics.cost import in_procedure, our_passes, procedure_passes
from agg2exp_core.pipeline.benchmark import still_needed
from agg2exp_core.pipeline.benchmark_settings import BenchmarkSettings, MetricChoice
from agg2exp_core.pipeline.cache import model_of
from agg2exp_core.pipeline.plan import Plan
from agg2exp_core.pipeline.prices import held_scan, longest_load, missing_of
from agg2exp_core.pipeline.settings import ExplainSettings
from agg2exp_core.types import Scan
from agg2exp_core.volumes import load_scan
from agg2exp_core.windows import Tiling


@dataclass(frozen=True)
class Todo:
    """What there is to do of a scan.

    Parameters
    ----------
    geometry : Geometry
        The scan as a whole: with all classes that are asked for.
    segmented : bool
        Whether the store holds its segmentation.
    n_classes : mapping of str to int
        Classes to explain by the label of a method; a method that is not needed any more is left out.
    scores : set of (str, str)
        Labels of methods and metrics whose scores are missing.
    """

    geometry: Geometry
    segmented: bool
    n_classes: Mapping[str, int]
    scores: Set[tuple[str, str]]

    def segmentation(self) -> Passes:
        """Return the passes of the segmentation."""
        return Passes(0 if self.segmented else self.geometry.n_windows)

    def explanation(self, settings: ExplainSettings) -> Passes:
        """Return the passes of a method; none if they are unknown."""
        n_classes = self.n_classes.get(settings.result_label, 0)
        if not n_classes:
            return Passes(0)
        return our_passes(replace(self.geometry, n_explained=n_classes), [settings.attribution_method], [])

    def evaluation(self, choice: MetricChoice, judged: Sequence[ExplainSettings]) -> Passes:
        """Return the passes of a metric beside those of the methods: of scores, and of what they share."""
        methods = [m.attribution_method for m in judged if (m.result_label, choice.label) in self.scores]
        if not methods:
            return Passes(0)
        both, alone = (our_passes(self.geometry, methods, of) for of in ([choice.metric], []))
        return Passes(both.forward - alone.forward, both.backward - alone.backward)


Count = Callable[[Todo], Passes]
"""Window passes of one scan."""


@dataclass(frozen=True)
class Sheet:
    """What a table of costs is filled from.

    Parameters
    ----------
    todos : list of Todo
        One a scan.
    cost : WindowCost
        Of one window on this device.
    n_devices : int
        Devices that share the scans; a scan stays on one.
    """

    todos: list[Todo]
    cost: WindowCost
    n_devices: int

    def passes(self, count: Count) -> Passes:
        """Return the passes of all scans."""
        total = Passes(0)
        for todo in self.todos:
            total = total.plus(count(todo))
        return total

    def seconds(self, passes: Passes) -> float:
        """Return the seconds that passes take on one device."""
        return passes.forward * self.cost.forward_seconds + passes.backward * self.cost.backward_seconds

    def line(self, table: Table, name: str, count: Count) -> None:
        """Add a line to the table."""
        passes = self.passes(count)
        load = longest_load([self.seconds(count(todo)) for todo in self.todos], self.n_devices)
        seconds = (load, self.seconds(passes))
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
    errors, todos = list(checked.errors), []
    for job in checked.usable:
        model = model_of(settings.judged[0])
        try:
            todos.append(_todo(load_scan(job.path, model, job.scan_id, settings.accept), settings))
        except ScanError as error:
            errors.append(error)
    for refused in errors:
        print(f"error: {refused}", file=sys.stderr)
    if not todos:
        return NOTHING
    console.print(_table(settings, todos, n_devices))
    return SOME_FAILED if errors else DONE


def _todo(scan: Scan, settings: BenchmarkSettings) -> Todo:
    """Return what the store lacks of a scan."""
    first = settings.judged[0]
    model = model_of(first)
    n_asked = len(set(first.classes or model.class_names))
    whole = Geometry(Tiling(model.windows, scan.grid.shape), model.n_channels, model.n_classes, n_asked)
    held = held_scan(first, scan)
    prediction = None if held is None else held.prediction()
    if held is None or prediction is None:
        pairs = {(m.result_label, choice.label) for m in settings.judged for choice in settings.choices}
        return Todo(whole, False, {m.result_label: n_asked for m in settings.explained}, pairs)
    asked = [model.class_names[c] for c in choose_classes(model, first.classes)]
    classes = [name for name in asked if name in prediction.present]
    scores, methods = still_needed(held, settings, classes)
    missing = {
        method.result_label: missing_of(method.model_copy(update={"restore_voxels": True}), scan).n_classes
        for method in methods
    }
    return Todo(whole, True, missing, {(m.result_label, choice.label) for m, choice in scores})


def _table(settings: BenchmarkSettings, todos: list[Todo], n_devices: int) -> Table:
    model = model_of(settings.judged[0])
    with console.status("timing a window"):
        sheet = Sheet(todos, measure_window(model), n_devices)
    theirs = in_procedure(
        [method.attribution_method for method in settings.judged],
        [choice.metric for choice in settings.choices],
    )
    table = Table(title=f"benchmark of {len(todos)} scans on {n_devices} x {model.device}")
    table.add_column(no_wrap=True)
    for heading in ("forward", "backward", "seconds a device", "seconds in all"):
        table.add_column(heading, justify="right")
    sheet.line(table, "segmentation", Todo.segmentation)
    for explained in settings.explained:
        method = explained.attribution_method
        name = method.name if explained in settings.judged else f"{method.name}, the reference method"
        if method.passes(todos[0].geometry) is not None:
            sheet.line(table, name, lambda todo, m=explained: todo.explanation(m))  # type: ignore[misc]
        else:
            table.add_row(name, *["unknown"] * 4)
    for choice in settings.choices:
        sheet.line(
            table,
            choice.metric.name,
            lambda todo, c=choice: todo.evaluation(c, settings.judged),  # type: ignore[misc]
        )
    table.add_section()
    sheet.line(table, "all", lambda todo: _all(todo, settings))
    table.add_section()
    sheet.line(table, "anew, by both", lambda todo: our_passes(todo.geometry, *theirs))
    sheet.line(table, "the published procedure", lambda todo: procedure_passes(todo.geometry, *theirs))
    table.caption = _caption(sheet, *theirs)
    return table


def _all(todo: Todo, settings: BenchmarkSettings) -> Passes:
    total = todo.segmentation()
    for method in settings.explained:
        total = total.plus(todo.explanation(method))
    for choice in settings.choices:
        total = total.plus(todo.evaluation(choice, settings.judged))
    return total


def _caption(sheet: Sheet, methods: Sequence[Method], metrics: Sequence[Metric]) -> str:
    told = "At most: a class costs nothing where it is absent. What the store holds is not counted."
    if not methods or not metrics:
        return told
    ours = sheet.passes(lambda todo: our_passes(todo.geometry, methods, metrics))
    procedure = sheet.passes(lambda todo: procedure_passes(todo.geometry, methods, metrics))
    times = sum(procedure) / sum(ours)
    return (
        f"{told} The published procedure has {', '.join(m.name for m in methods)} and "
        f"{', '.join(m.name for m in metrics)}; for these it takes {times:,.1f} times as many passes."
    )
