"""The command `explain`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug, Given, State, with_options
from agg2exp_core.errors import UsageError
from agg2exp_core.pipeline.settings import ExplainSettings

if TYPE_CHECKING:
    from agg2exp_core.pipeline.plan import Plan

app = command_app()


@app.command()
@with_options(ExplainSettings)
def explain(
    given: Given,
    scans: Annotated[
        list[str] | None, typer.Argument(help="NIfTI files, or folders of them or of DICOM.")
    ] = None,
    datalist: Annotated[
        Path | None, typer.Option("--datalist", help="MONAI datalist (JSON) with scans to explain.")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Which split of the datalist.")] = "test",
    scan_id: Annotated[str | None, typer.Option("--scan-id", help="Name of a single scan.")] = None,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Print passes, memory and time that it would take, and stop.")
    ] = False,
    other_methods: Annotated[
        list[str] | None,
        typer.Option("--and-method", help="With --plan: another method, by its defaults (again for more)."),
    ] = None,
    n_devices: Annotated[
        int, typer.Option("--devices", min=1, help="With --plan: devices like this one that share the scans.")
    ] = 1,
    n_scans: Annotated[
        int | None,
        typer.Option("--scans", min=1, help="With --plan: price so many scans like the one that is given."),
    ] = None,
    state: State = None,
    debug: Debug = False,
) -> int:
    """Explain scans, and reduce the explanations to class-by-region matrices."""
    settings = given.make(ExplainSettings)
    from agg2exp_core.pipeline.plan import given_scans, plan_scans

    named = given_scans(scans, datalist, split)
    checked = plan_scans(named, scan_id, settings)
    if plan_only:
        from agg2exp_cli.explain_plan import print_plan

        others = [
            settings.model_copy(update={"method": m, "params": {}, "label": None})
            for m in other_methods or []
        ]
        return print_plan(
            [checked, *(plan_scans(named, scan_id, other) for other in others)], n_devices, n_scans
        )
    if other_methods or n_devices > 1 or n_scans:
        raise UsageError(
            "explain",
            got="--and-method, --devices or --scans without --plan",
            allowed="these with --plan alone",
            remedy="add --plan, or explain by one method at a time",
        )
    return run_explain(checked, state)


def run_explain(plan: Plan, state: Path | None) -> int:
    """Run the flow `explain` on what a plan found usable; return the exit code."""
    from agg2exp_cli.exit_codes import NOTHING
    from agg2exp_cli.running import carry_out, print_summary, served, show_errors, show_set_aside
    from agg2exp_core.pipeline.plan import claim_store

    show_errors(plan)
    if not plan.jobs and not plan.kept:
        return NOTHING
    claim_store(plan)
    with served(state):
        from agg2exp.flows.explain import explain as flow

        summary = carry_out(flow, plan.jobs, plan.settings, plan.rejected, len(plan.kept))
    show_set_aside(summary, plan.jobs)
    return print_summary(summary)
