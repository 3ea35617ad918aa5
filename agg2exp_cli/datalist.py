"""The command `datalist`: a labelled cohort as a MONAI datalist."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from agg2exp_cli.app import command_app
from agg2exp_cli.options import Debug

app = command_app()


@app.command()
def datalist(
    tree: Annotated[Path, typer.Argument(help="TotalSegmentator's tree: s0000/ct.nii.gz, meta.csv.")],
    out: Annotated[Path, typer.Option("--out", help="Datalist to write (JSON), label maps beside it.")],
    complete: Annotated[
        bool, typer.Option("--complete", help="Only scans that hold all 17 classes of the paper.")
    ] = False,
    debug: Debug = False,
) -> int:
    """Merge TotalSegmentator's masks to the paper's 17 classes, and list the scans by split."""
    from agg2exp_cli.exit_codes import DONE, NOTHING, SOME_FAILED
    from agg2exp_core.datasets import absent_classes, find_cases, merge_labels, write_datalist
    from agg2exp_core.errors import ScanError
    from agg2exp_core.labels import THORAX_CLASSES
    from agg2exp_core.volumes import write_nifti

    splits: dict[str, list[dict[str, object]]] = {}
    n_kept = n_incomplete = n_failed = 0
    for case in find_cases(tree):
        try:
            labels, grid = merge_labels(case)
        except ScanError as error:
            print(f"error: {error}", file=sys.stderr)
            n_failed += 1
            continue
        missing = absent_classes(labels)
        if complete and missing:
            n_incomplete += 1
            continue
        path = out.parent / f"{out.stem}_labels" / f"{case.scan_id}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_nifti(path, labels, grid)
        entry = {"image": case.image, "label": path, "missing": missing}
        splits.setdefault(case.split or "test", []).append(entry)
        n_kept += 1
    if n_kept:
        write_datalist(out, splits, THORAX_CLASSES)
    counts = ", ".join(f"{name} {len(entries)}" for name, entries in splits.items())
    print(f"{n_kept} scans ({counts or 'none'}); {n_incomplete} without all classes, {n_failed} unusable")
    if not n_kept:
        return NOTHING
    return SOME_FAILED if n_failed else DONE
