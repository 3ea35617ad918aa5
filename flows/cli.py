"""The command line: `agg2exp` and `python -m flows`.

What a command needs is imported inside it: a mistyped option is answered before the libraries that
do the work are loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="agg2exp",
    help="Explain 3D segmentation models: voxel attributions, and the regions that they lie in.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

State = Annotated[
    Path | None, typer.Option("--state", help="Folder of the run history (default ~/.agg2exp).")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, or a GPU such as cuda:0.")]
Rois = Annotated[
    str | None,
    typer.Option(
        "--rois",
        help="Extra regions: masks DIR/<scan id>/NAME.nii.gz, or label maps DIR/<scan id>.nii.gz "
        "with DIR/labels.json, or for one scan a label map.",
    ),
]
RoiNames = Annotated[
    str | None, typer.Option("--roi-names", help='Names of a label map: a JSON file {"1": "spleen"}.')
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@app.callback()
def _main() -> None:
    """Explain 3D segmentation models: voxel attributions, and the regions that they lie in."""


@app.command()
def explain(
    *,
    scans: Annotated[
        list[str] | None, typer.Argument(help="NIfTI files, or folders of them or of DICOM.")
    ] = None,
    model: Annotated[str, typer.Option("--model", help="Bundle, nnU-Net folder, description or name.")],
    out: Annotated[str, typer.Option("--out", help="Store: a folder or s3://bucket/prefix.")],
    datalist: Annotated[
        Path | None, typer.Option("--datalist", help="MONAI datalist (JSON) with scans to explain.")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Which split of the datalist.")] = "test",
    method: Annotated[
        str,
        typer.Option(
            "--method", help="Attribution method: a name, captum:NAME, or your own module:attribute."
        ),
    ] = "smoothgrad",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Parameter of the method: name=value.")
    ] = None,
    label: Annotated[str | None, typer.Option("--label", help="Name of the results.")] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--classes", help="Class to explain (again for more); all by default.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of what is random.")] = 0,
    scan_id: Annotated[str | None, typer.Option("--scan-id", help="Name of a single scan.")] = None,
    rois: Rois = None,
    roi_names: RoiNames = None,
    classes_per_task: Annotated[
        int | None, typer.Option("--classes-per-task", min=1, help="Classes per task run; all by default.")
    ] = None,
    window_batch: Annotated[
        int | None, typer.Option("--window-batch", min=1, help="Windows per pass; by default what fits.")
    ] = None,
    no_voxels: Annotated[
        bool, typer.Option("--no-voxels", help="Keep the matrices alone, and no attributions.")
    ] = False,
    restore_voxels: Annotated[
        bool, typer.Option("--restore-voxels", help="Compute again what retention dropped the voxels of.")
    ] = False,
    stored: Annotated[
        str, typer.Option("--store-as", help="float32, or float16 in half the space.")
    ] = "float32",
    precision: Annotated[
        str, typer.Option("--precision", help="float32, or bfloat16 or float16 as another model.")
    ] = "float32",
    device: Device = "auto",
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Print passes, memory and time that it would take, and stop.")
    ] = False,
    state: State = None,
    debug: Debug = False,
) -> int:
    """Explain scans, and reduce the explanations to class-by-region matrices."""
    from flows.checks import given_scans, parse_settings, plan
    from flows.launch import run_explain
    from tasks.settings import ExplainSettings

    settings = ExplainSettings(
        store=out,
        model=model,
        method=method,
        params=dict(parse_settings(assignments or [])),
        label=label,
        classes=_names(classes),
        seed=seed,
        device=device,
        rois=rois,
        roi_names=roi_names,
        classes_per_task=classes_per_task,
        window_batch=window_batch,
        voxels=not no_voxels,
        restore_voxels=restore_voxels,
        stored=stored,
        precision=precision,
    )
    checked = plan(given_scans(scans, datalist, split), scan_id, settings)
    if plan_only:
        from flows.planning import print_plan

        return print_plan(checked)
    return run_explain(checked, state)


@app.command()
def benchmark(
    scans: Annotated[list[str], typer.Argument(help="NIfTI files, or folders of them.")],
    model: Annotated[str, typer.Option("--model", help="Bundle folder, description, program or name.")],
    out: Annotated[str, typer.Option("--out", help="Store: a folder or s3://bucket/prefix.")],
    methods: Annotated[
        list[str] | None, typer.Option("--methods", help="Methods, with commas; the seven by default.")
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metrics", help="Metrics, or module:attribute of your own, with commas; all by default."
        ),
    ] = None,
    of_methods: Annotated[
        list[str] | None, typer.Option("--set-method", help="METHOD.parameter=value.")
    ] = None,
    of_metrics: Annotated[list[str] | None, typer.Option("--set-metric", help="METRIC.option=value.")] = None,
    classes: Annotated[
        list[str] | None, typer.Option("--classes", help="Class to judge (again for more); all by default.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of what is random.")] = 0,
    window_batch: Annotated[
        int | None, typer.Option("--window-batch", min=1, help="Windows per pass; by default what fits.")
    ] = None,
    device: Device = "auto",
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
    from agg2exp_core.attribution import METHODS
    from agg2exp_core.metrics import METRICS
    from flows.benchmark_planning import print_benchmark_plan
    from flows.benchmarking import checked_benchmark, run_benchmark, settings_of
    from tasks.settings import ExplainSettings

    base = ExplainSettings(
        store=out,
        model=model,
        classes=_names(classes),
        seed=seed,
        device=device,
        window_batch=window_batch,
    )
    settings = settings_of(
        base,
        _names(methods) or list(METHODS),
        _names(metrics) or list(METRICS),
        of_methods or [],
        of_metrics or [],
    )
    checked = checked_benchmark(scans, settings)
    if plan_only:
        return print_benchmark_plan(checked, settings, n_devices)
    return run_benchmark(checked, settings, state)


def _names(texts: list[str] | None) -> list[str] | None:
    return [name for text in texts for name in text.split(",")] if texts else None


@app.command()
def reduce(
    store: Annotated[str, typer.Argument(help="Store of explained scans.")],
    label: Annotated[list[str] | None, typer.Option("--label", help="Which results; all by default.")] = None,
    rois: Rois = None,
    roi_names: RoiNames = None,
    drop_rois: Annotated[
        list[str] | None, typer.Option("--drop-roi", help="Extra region that goes, with its columns.")
    ] = None,
    state: State = None,
    debug: Debug = False,
) -> int:
    """Make the matrices again from stored attributions, for instance with new regions."""
    from flows.launch import run_reduce

    return run_reduce(store, label, rois, roi_names, state, drop_rois)


@app.command()
def export(
    store: Annotated[str, typer.Argument(help="Store of explained scans.")],
    out: Annotated[
        Path, typer.Option("--out", help="File to write: .nii.gz, .nii or .csv; with --dicom a folder.")
    ],
    scan_id: Annotated[str | None, typer.Option("--scan-id", help="Which scan.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Which results.")] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="Attribution of this class; without it the label map.")
    ] = None,
    dicom: Annotated[
        Path | None, typer.Option("--dicom", help="Folder of the scan's series, for DICOM results of it.")
    ] = None,
    store_to: Annotated[
        str | None, typer.Option("--store-to", help="PACS that takes them too: http address of DICOMweb.")
    ] = None,
    debug: Debug = False,
) -> int:
    """Write an attribution or label map in the scan's own space, or the matrices as a table."""
    from flows.exporting import export_dicom, export_matrices, export_volume

    if dicom is not None or store_to is not None:
        for path in export_dicom(store, scan_id, label, class_name, dicom, out, store_to):
            typer.echo(f"wrote {path}")
        return 0
    if out.suffix == ".csv":
        written = export_matrices(store, label, out)
    else:
        written = export_volume(store, scan_id, label, class_name, out)
    typer.echo(f"wrote {written}")
    return 0


@app.command()
def ui(state: State = None, debug: Debug = False) -> int:
    """Show the history of runs in the Prefect UI, until Ctrl-C."""
    from flows.server import serve_until_interrupted

    serve_until_interrupted(
        state, lambda server: typer.echo(f"Prefect UI: {server.ui_url}  (Ctrl-C to stop)")
    )
    return 0


@app.command()
def doctor(
    store: Annotated[str | None, typer.Argument(help="Store that should be writable.")] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Start a server too.")] = False,
    state: State = None,
    debug: Debug = False,
) -> int:
    """Check versions, devices, memory, folders and a store."""
    from flows.doctor import exit_code, print_checks, run_checks

    checks = run_checks(store, state_dir=state, deep=deep)
    print_checks(checks)
    return exit_code(checks)


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
    from flows.demo import run_demo

    return run_demo(out, model, n_scans, n_samples, state)
