"""How far models are from what their makers' own programs say of the same scan: nnU-Net's predictor, MONAI.

``python -m benchmarks.agreement`` prints for each model the largest difference of the preprocessed image and
of the stitched logits, as a share of the peak, and the share of voxels with another class. The folders are
made by nnU-Net's own planner and trainer, and the bundles as the model zoo lays them out, tiny and with
random weights; a real bundle joins where ``AGG2EXP_TEST_DATA`` names the folder of test data.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import yaml
from rich.console import Console
from rich.table import Table

from agg2exp_core import load_model, load_scan, predict
from agg2exp_core.prediction import sliding_logits
from tests.flows.cohort import write_scan
from tests.models import monai_bundle, nnunet_folder

PLANS: dict[str, dict[str, Any]] = {
    "CT normalisation": {},
    "z-score, thick slices": {"spacing": (2.0, 5.5, 2.0), "channels": ("MR",)},
    "regions, residual encoder": {"labels": nnunet_folder.REGIONS, "residual": True},
}
"""Tiny plans by what is special about them."""
RUNS: tuple[tuple[Sequence[int], bool], ...] = (((0,), False), ((0,), True), ((0, 1), False), ((0, 1), True))
"""Folds, and whether windows are mirrored."""


@dataclass(frozen=True)
class Row:
    """One model against its makers' program.

    Parameters
    ----------
    what : str
        The model.
    image, logits : float
        Largest difference as a share of the peak.
    labels : float
        Share of voxels with another class.
    """

    what: str
    image: float
    logits: float
    labels: float


def nnunet_rows(root: Path) -> Iterator[Row]:
    """Yield a row for each plan, number of folds, and with and without mirroring.

    The differences of logits are those from nnU-Net's sums in single precision; its labels are as they
    are, from sums in half precision.
    """
    scan_file = nnunet_folder.write_scan(root / "scan.nii.gz", seed=5)
    for number, (kind, planned) in enumerate(PLANS.items()):
        place = root / f"plan_{number}"
        folder = nnunet_folder.train(place, nnunet_folder.plan(place, **planned), folds=(0, 1))
        for folds, mirroring in RUNS:
            image, logits, labels = nnunet_folder.predicted(folder, scan_file, folds, mirroring)
            described = place / "model.yaml"
            options = {"nnunet": str(folder), "folds": list(folds), "mirroring": mirroring}
            described.write_text(yaml.safe_dump(options))
            how = f"{len(folds)} fold{'s' * (len(folds) > 1)}{', mirroring' * mirroring}"
            what = f"nnU-Net, {kind}, {how}"
            yield _row(what, described, scan_file, torch.from_numpy(image), logits, labels)


def bundle_rows(root: Path, real: Path | None) -> Iterator[Row]:
    """Yield a row for each kind of bundle, and for a real one in the folder `real` of test data."""
    scan_file = write_scan(root / "scan.nii.gz", shape=(40, 36, 38))
    network = monai_bundle.small_network()
    for kind, script, sigmoid in (
        ("network_def and model.pt", False, False),
        ("the same, sigmoid", False, True),
        ("TorchScript", True, False),
    ):
        folder = monai_bundle.bundle(root / kind.replace(" ", "_"), network, script=script)
        monai_bundle.told_like_the_zoo(folder, sigmoid=sigmoid)
        yield _bundle_row(f"MONAI bundle, {kind}", folder, scan_file, sigmoid=sigmoid)
    if real is not None:
        folder = real / "models" / "meshnet_gwm"
        yield _bundle_row("MONAI bundle, MeshNet, a whole head", folder, real / "brain_t1" / "t1.nii.gz")


def _bundle_row(what: str, folder: Path, scan_file: Path, *, sigmoid: bool = False) -> Row:
    image, logits = monai_bundle.inferred(folder, scan_file)
    largest = logits.argmax(0)
    labels = torch.where(logits.amax(0) > 0, largest + 1, 0) if sigmoid else largest
    return _row(what, folder, scan_file, image, logits, labels.numpy())


def _row(
    what: str, ref: Path, scan_file: Path, image: torch.Tensor, logits: torch.Tensor, labels: Any
) -> Row:
    model = load_model(ref, "cpu")
    scan = load_scan(scan_file, model)
    own = sliding_logits(model, scan)[-len(logits) :]  # without the background that a sigmoid gets here
    return Row(
        what,
        _largest(scan.image, image),
        _largest(own, logits),
        float(np.mean(predict(model, scan).labels != labels)),
    )


def _largest(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")  # nnU-Net and MONAI announce changes of their own
    data = os.environ.get("AGG2EXP_TEST_DATA")
    table = Table(title="largest difference from the makers' own programs, as a share of the peak")
    for heading in ("model", "image", "logits", "other class"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    rows: list[Row] = []
    with TemporaryDirectory() as scratch, redirect_stdout(StringIO()):  # nnU-Net tells all that it does
        folders = [Path(scratch) / name for name in ("nnunet", "bundles")]
        for folder in folders:
            folder.mkdir()
        rows += nnunet_rows(folders[0])
        rows += bundle_rows(folders[1], Path(data) if data else None)
    for row in rows:
        share = f"{100 * row.labels:.2f} %"
        table.add_row(row.what, f"{row.image:.1e}", f"{row.logits:.1e}", share)
    console = Console()
    console.width = max(console.width, 100)
    console.print(table)


if __name__ == "__main__":
    main()
