"""The command `benchmark`: checks, the run, the tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markdown import Markdown

from agg2exp_core.errors import UsageError
from agg2exp_core.metrics import make_metric
from agg2exp_core.metrics.ranking import OF_REGIONS
from agg2exp_core.store import check_name
from flows.checks import Plan, claim_store, parse_settings, plan
from flows.exit_codes import NOTHING
from flows.launch import carry_out, conclude, console, served, show_errors
from tasks.choices import BenchmarkSettings, benchmark_of
from tasks.resources import store_of
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
        name = next((name for name in names if text.startswith(f"{name}.")), None)
        if name is None:
            raise UsageError(
                option,
                got=f"{text!r}",
                allowed=f"NAME.parameter=value with NAME one of {', '.join(names)}",
                remedy="write it so",
            )
        found.setdefault(name, {}).update(parse_settings([text.removeprefix(f"{name}.")]))
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
        store = store_of(summary.store)
        of_regions = any(choice.name in OF_REGIONS for choice in settings.metrics)
        for name in ("table1.md", *(["roi_faithfulness.md"] if of_regions else [])):
            console.print(Markdown(store.read_file(f"benchmark/{name}").decode()))
        console.print(f"all scores: {summary.store}/benchmark.parquet", soft_wrap=True)
    return code


def checked_benchmark(scans: Sequence[str], settings: BenchmarkSettings) -> Plan:
    """Check scans, model, classes and labels before anything runs."""
    return plan(scans, None, settings.methods[0])
