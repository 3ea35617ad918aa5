"""The demo: synthetic scans, the packaged model, the whole path, and what to look at."""

from __future__ import annotations

from pathlib import Path

from flows.checks import plan
from flows.launch import console, run_explain
from tasks.settings import ExplainSettings

SPACING_MM = 4.0
SEED = 2025


def run_demo(out: Path, n_scans: int, n_samples: int, state: Path | None) -> int:
    """Make a cohort of phantoms, explain it with SmoothGrad, say where the results are."""
    from agg2exp_core.phantom import write_cohort
    from agg2exp_core.report import matrix_table
    from agg2exp_core.store import open_store

    with console.status(f"making {n_scans} synthetic scans"):
        scans = write_cohort(out / "scans", n_scans, seed=SEED, spacing_mm=SPACING_MM)
    console.print(f"made {len(scans)} synthetic thorax scans of {SPACING_MM:g} mm in {out / 'scans'}")
    settings = ExplainSettings(
        store=str(out / "store"),
        model="thorax_phantom",
        method="smoothgrad",
        params={"n_samples": n_samples},
        label="smoothgrad",
    )
    code = run_explain(plan([str(out / "scans")], None, settings), state)
    matrix = open_store(settings.store).global_importance(settings.result_label)["mean"]
    console.print(matrix_table(matrix.sel(roi=matrix["roi_kind"] == "class")))
    report = (out / "store" / "report" / "index.html").absolute()
    console.print(
        f"\nOpen the report:   file://{report}\n"
        "See the runs:      .venv/bin/agg2exp ui\n"
        "Try another method: .venv/bin/agg2exp explain "
        f"{out / 'scans'} --model thorax_phantom --method vanilla_gradient --out {out / 'store'}\n"
        "Open the matrices: xarray.open_zarr"
        f"('{out / 'store' / 'importance.zarr'}', group='{settings.result_label}')",
        soft_wrap=True,
        markup=False,
    )
    return code
