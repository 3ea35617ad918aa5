"""The command `demo`: synthetic scans, a packaged model, the whole path, and what to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug, State

app = command_app()


SPACING_MM = 4.0
SEED = 2025
MODEL = "thorax_phantom"
ALIASES = {"swin": "swin_unetr_v2_small"}
"""Short names of packaged models."""
FEW = {"swin_unetr_v2_small": (2, 1)}
"""Scans and noisy copies of models that take minutes a scan; of others `MANY`."""
MANY = (4, 3)


@app.command()
def demo(
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write to (default demo, or demo_MODEL).")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", help="thorax_phantom, swin (a Swin UNETR), or a model of your own.")
    ] = "thorax_phantom",
    n_scans: Annotated[
        int | None, typer.Option("--scans", min=2, help="Phantoms to make (default 4, or 2 with swin).")
    ] = None,
    n_samples: Annotated[
        int | None, typer.Option("--samples", min=1, help="Noisy copies for SmoothGrad (default 3, or 1).")
    ] = None,
    state: State = None,
    debug: Debug = False,
) -> int:
    """Make synthetic scans, explain them with a packaged model, show the report."""
    return run_demo(out, model, n_scans, n_samples, state)


def run_demo(
    out: Path | None, model: str, n_scans: int | None, n_samples: int | None, state: Path | None
) -> int:
    """Make a cohort of phantoms, explain it with SmoothGrad, say where the results are.

    Parameters
    ----------
    out : Path, optional
        Folder of scans, store and report; by default ``demo``, or ``demo_NAME`` for another model, since a
        store holds results of one.
    model : str
        A reference for `agg2exp_core.models.load_model`, or one of `ALIASES`.
    n_scans, n_samples : int, optional
        Phantoms, and noisy copies of each; by default as many as take some minutes.
    state : Path, optional
        Folder of the run history.
    """
    from agg2exp_cli.explain import run_explain
    from agg2exp_cli.running import console
    from agg2exp_core.models import check_reference
    from agg2exp_core.phantom import write_cohort
    from agg2exp_core.pipeline.plan import plan_scans
    from agg2exp_core.pipeline.settings import ExplainSettings
    from agg2exp_core.report import matrix_table
    from agg2exp_core.report.cohort_page import write_report
    from agg2exp_core.store import open_store

    chosen = ALIASES.get(model, model)
    check_reference(chosen)
    few_scans, few_samples = FEW.get(chosen, MANY)
    n_scans, n_samples = n_scans or few_scans, n_samples or few_samples
    if out is None:
        out = Path("demo" if chosen == MODEL else f"demo_{Path(model).stem}")
    with console.status(f"making {n_scans} synthetic scans"):
        scans = write_cohort(out / "scans", n_scans, seed=SEED, spacing_mm=SPACING_MM)
    console.print(f"made {len(scans)} synthetic thorax scans of {SPACING_MM:g} mm in {out / 'scans'}")
    settings = ExplainSettings(
        store=str(out / "store"),
        model=chosen,
        method="smoothgrad",
        params={"n_samples": n_samples},
        label="smoothgrad",
    )
    code = run_explain(plan_scans([str(out / "scans")], None, settings), state)
    store = open_store(settings.store)
    matrix = store.global_importance(settings.result_label)["mean"]
    console.print(matrix_table(matrix.sel(roi=matrix["roi_kind"] == "class")))
    with console.status("writing the report"):
        write_report(store, [settings.result_label], out / "report")
    report = (out / "report" / "index.html").absolute()
    console.print(
        f"\nOpen the report:   file://{report}\n"
        "See the runs:      .venv/bin/agg2exp ui\n"
        "Try another method: .venv/bin/agg2exp explain "
        f"{out / 'scans'} --model {chosen} --method vanilla_gradient --out {out / 'store'}\n"
        "Open the matrices: xarray.open_zarr"
        f"('{out / 'store' / 'importance.zarr'}', group='{settings.result_label}')",
        soft_wrap=True,
        markup=False,
    )
    return code
