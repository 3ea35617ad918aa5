"""The command `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug

app = command_app()


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
    if dicom is not None or store_to is not None:
        from agg2exp_core.export.dicom import export_dicom

        written = export_dicom(store, scan_id, label, class_name, dicom, out, store_to)
    elif out.suffix == ".csv":
        from agg2exp_core.export.matrices import export_matrices

        written = [export_matrices(store, label, out)]
    else:
        from agg2exp_core.export.nifti import export_volume

        written = [export_volume(store, scan_id, label, class_name, out)]
    for path in written:
        typer.echo(f"wrote {path}")
    return 0
