"""The command `benchmark`: checks, the plan of its cost, the run, the table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markdown import Markdown
from rich.table import Table

from agg2exp_core.attribution.method import Geometry, Method, Passes
from agg2exp_core.errors import UsageError
from agg2exp_core.execution import WindowCost, measure_window
from agg2exp_core.metrics import Metric, make_metric
from agg2exp_core.metrics.cost import our_passes, procedure_passes
from agg2exp_core.store import check_name
from agg2exp_core.volumes import load_scan
from agg2exp_core.windows import Tiling
from flows.checks import Plan, claim_store, parse_settings, plan
from flows.exit_codes import DONE, NOTHING
from flows.launch import carry_out, conclude, console, served, show_errors
from tasks.choices import BenchmarkSettings, benchmark_of
from tasks.resources import model_of, store_of
from tasks.settings import ExplainSettings


def settings_of(
    base: ExplainSettings,
    methods: Sequence[str],
    metrics: Sequence[str],
    of_methods: Sequence[str],
    of_metrics: Sequence[str],
) -> BenchmarkSettings:
    """Return the settings of a benchmark, checked.

    Parameters
    ----------
    base : ExplainSettings
        Store, model, classes, seed, device.
    methods, metrics : sequence of str
        Names.
    of_methods, of_metrics : sequence of str
        Parameters as ``NAME.parameter=value``.
    """
    found = benchmark_of(
        base,
        methods,
        metrics,
        _by_name("--set-method", of_methods, methods),
        _by_name("--set-metric", of_metrics, metrics),
    )
    for settings in found.methods:
        check_name("label", settings.result_label)
    for choice in found.metrics:
        make_metric(choice.name, choice.params)
    return found


def _by_name(option: str, assignments: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for text in assignments:
        name, dot, rest = text.partition(".")
        if not dot or name not in names:
            raise UsageError(
                option,
                got=f"{text!r}",
                allowed=f"NAME.parameter=value with NAME one of {', '.join(names)}",
                remedy="write it so",
            )
        found.setdefault(name, {}).update(parse_settings([rest]))
    return found


def run_benchmark(checked: Plan, settings: BenchmarkSettings, state: Path | None) -> int:
    """Run the flow on what a plan found usable; return the exit code."""
    show_errors(checked)
    if not checked.jobs:
        return NOTHING
    claim_store(checked)
    with served(state):
        from flows.benchmark import benchmark

        summary = carry_out(benchmark, checked.jobs, settings, checked.rejected)
    code = conclude(summary, unit="scores of a method and metric")
    if summary.n_done:
        console.print(Markdown(store_of(summary.store).read_file("benchmark/table1.md").decode()))
        console.print(f"all scores: {summary.store}/benchmark.parquet", soft_wrap=True)
    return code


def print_benchmark_plan(checked: Plan, settings: BenchmarkSettings) -> int:
    """Print the passes and seconds of each method and metric, and those of the published procedure."""
    model = model_of(settings.methods[0])
    cost = measure_window(model)
    methods = [method.attribution_method for method in settings.methods]
    metrics = [choice.metric for choice in settings.metrics]
    table = Table(title=f"benchmark of {len(checked.jobs)} scans on {model.device}, at most")
    for heading in ("", "forward", "backward", "seconds"):
        table.add_column(heading, justify="left" if not heading else "right")
    geometries = []
    for job in checked.jobs:
        shape = load_scan(job.path, model, job.scan_id).grid.shape
        n_explained = len(settings.methods[0].classes or model.class_names)
        geometries.append(
            Geometry(Tiling(model.windows, shape), model.n_channels, model.n_classes, n_explained)
        )
    beside = [m.attribution_method for m in settings.explained if m not in settings.methods]
    for method in methods:
        _line(table, method.name, _sum(geometries, [method], []), cost)
    for method in beside:
        _line(table, f"{method.name}, the yardstick", _sum(geometries, [method], []), cost)
    for metric in metrics:
        alone = _sum(geometries, methods, [metric])
        without = _sum(geometries, methods, [])
        extra = Passes(alone.forward - without.forward, alone.backward - without.backward)
        _line(table, metric.name, extra, cost)
    total = _sum(geometries, methods, metrics).plus(_sum(geometries, beside, []))
    _line(table, "all", total, cost)
    procedure = Passes(0)
    for geometry in geometries:
        procedure = procedure.plus(procedure_passes(geometry, methods, metrics))
    _line(table, "the published procedure", procedure, cost)
    console.print(table)
    return DONE


def _sum(geometries: Sequence[Geometry], methods: Sequence[Method], metrics: Sequence[Metric]) -> Passes:
    total = Passes(0)
    for geometry in geometries:
        total = total.plus(our_passes(geometry, methods, metrics))
    return total


def _line(table: Table, name: str, passes: Passes, cost: WindowCost) -> None:
    seconds = passes.forward * cost.forward_seconds + passes.backward * cost.backward_seconds
    table.add_row(name, f"{passes.forward:,}", f"{passes.backward:,}", f"{seconds:,.0f}")


def checked_benchmark(scans: Sequence[str], settings: BenchmarkSettings) -> Plan:
    """Check scans, model, classes and labels before anything runs."""
    return plan(scans, None, settings.methods[0])
