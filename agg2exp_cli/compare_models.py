"""The command `compare-models`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug, State

app = command_app()


@app.command()
def compare_models(
    models: Annotated[list[str], typer.Argument(help="Two models or more: folders, files or names.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the table, its tests and the figure.")],
    config: Annotated[
        str | None, typer.Option("--config", help="Score on the test scans of this configuration.")
    ] = None,
    tree: Annotated[
        Path | None, typer.Option("--tree", help="Score on the test scans of a tree like TotalSegmentator's.")
    ] = None,
    without_truth: Annotated[
        list[str] | None,
        typer.Option(
            "--without-truth",
            help="Compare the models on scans without truth (again for more).",
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, or a GPU such as cuda:0.")] = "auto",
    state: State = None,
    debug: Debug = False,
) -> int:
    """Score models on the same scans: Dice by class, IoU, surface Dice, tests of their differences.

    With --without-truth: Dice between the models, and where they part.
    """
    from agg2exp_cli.exit_codes import DONE

    if without_truth:
        return _without_truth(models, without_truth, out, device, has_truth=bool(config or tree))
    from agg2exp_core.training.comparison import check_comparison

    settings = check_comparison(models, str(out), config, str(tree) if tree else None, device)
    from agg2exp_cli.running import carry_out, console, served

    with served(state):
        from agg2exp.flows.train import compare_models as flow

        markdown = carry_out(flow, settings)
    from rich.markdown import Markdown

    console.print(Markdown(markdown))
    console.print(f"table, tests and figure: {out}", soft_wrap=True)
    return DONE


def _without_truth(models: list[str], scans: list[str], out: Path, device: str, *, has_truth: bool) -> int:
    """Compare models with each other, and print the mean Dice between them by class; return the exit code."""
    from agg2exp_cli.exit_codes import DONE, SOME_FAILED
    from agg2exp_cli.running import console
    from agg2exp_core.errors import UsageError
    from agg2exp_core.models import check_reference, load_model
    from agg2exp_core.pipeline.between_models import FILE, compare_without_truth
    from agg2exp_core.pipeline.outcomes import ScanJob
    from agg2exp_core.volumes import find_scans

    if has_truth:
        raise UsageError(
            "--without-truth",
            got="it beside --config or --tree",
            allowed="one of them",
            remedy="leave one out",
        )
    for model in models:
        check_reference(model)
    found, errors = find_scans(scans)
    jobs = [ScanJob(scan.scan_id, str(scan.path)) for scan in found]
    between = compare_without_truth([load_model(model, device) for model in models], jobs, out)
    from rich.table import Table

    shown = Table(title="Dice between models: mean, and the scan where they differ most")
    for heading in ("model", "other", "class", "mean", "least", "scan"):
        shown.add_column(heading)
    for names, group in between.table.groupby(["model", "other", "class"], sort=False):
        if group["dice"].notna().any():
            least = group.sort_values("dice").iloc[0]
            numbers = (f"{group['dice'].mean():.3f}", f"{least['dice']:.3f}")
            shown.add_row(*map(str, names), *numbers, str(least["scan"]))
    console.print(shown)
    for model, classes in between.alone.items():
        console.print(f"only {model} has {', '.join(classes)}", soft_wrap=True)
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    for bad in between.rejected:
        print(f"error: {bad.scan_id}: {bad.reason}", file=sys.stderr)
    console.print(f"where they part: {out}/{FILE}", soft_wrap=True)
    return SOME_FAILED if errors or between.rejected else DONE
