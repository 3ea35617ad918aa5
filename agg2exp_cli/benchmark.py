"""The command `benchmark`."""

from __future__ import annotations

from typing import Annotated

import typer

from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug, Given, State, with_options
from agg2exp_core.pipeline.benchmark_settings import BenchmarkSettings

app = command_app()


@app.command()
@with_options(BenchmarkSettings)
def benchmark(
    given: Given,
    scans: Annotated[list[str], typer.Argument(help="NIfTI files, or folders of them.")],
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Print passes and time that it would take, and stop.")
    ] = False,
    n_devices: Annotated[
        int, typer.Option("--devices", min=1, help="With --plan: devices like this one that share the scans.")
    ] = 1,
    state: State = None,
    debug: Debug = False,
) -> int:
    """Judge attribution methods by metrics, over scans."""
    settings = given.make(BenchmarkSettings)
    settings.check()
    from agg2exp_core.pipeline.plan import plan_scans

    checked = plan_scans(scans, None, settings.judged[0])
    if plan_only:
        from agg2exp_cli.benchmark_plan import print_benchmark_plan

        return print_benchmark_plan(checked, settings, n_devices)
    from rich.markdown import Markdown

    from agg2exp_cli.exit_codes import NOTHING
    from agg2exp_cli.running import carry_out, console, print_summary, served, show_errors, show_set_aside
    from agg2exp_core.metrics.ranking import OF_REGIONS
    from agg2exp_core.pipeline.benchmark import check_methods
    from agg2exp_core.pipeline.cache import store_of
    from agg2exp_core.pipeline.plan import claim_store

    show_errors(checked)
    if not checked.usable:
        return NOTHING
    check_methods(checked.usable, settings)
    claim_store(checked)
    with served(state):
        from agg2exp.flows.benchmark import benchmark as flow

        summary = carry_out(flow, checked.usable, settings, checked.rejected)
    show_set_aside(summary, checked.usable)
    code = print_summary(summary, unit="scores of a method and metric")
    store = store_of(summary.store)
    if store.root.get("benchmark/table1.md"):
        of_regions = any(name in OF_REGIONS for name in settings.metric_names)
        for name in ("table1.md", *(["roi_faithfulness.md"] if of_regions else [])):
            console.print(Markdown(store.read_file(f"benchmark/{name}").decode()))
        console.print(f"all scores: {summary.store}/benchmark.parquet", soft_wrap=True)
    return code
