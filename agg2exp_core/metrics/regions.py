"""RoI faithfulness: whether the matrix tells what happens when a region is removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from agg2exp_core.attribution.baselines import Baseline, baseline_image
from agg2exp_core.metrics.faithfulness import correlate
from agg2exp_core.metrics.metric import EvaluatedScan, Metric, OutputDrops, Score, Subject
from agg2exp_core.metrics.outputs import Readout, check_readout


@dataclass(frozen=True)
class Regions:
    """Copies of a scan in which one predicted region is the baseline, in the order of the classes.

    Parameters
    ----------
    baseline, aggregation : str
        What the region becomes, and how outputs are read.
    """

    baseline: str
    aggregation: str

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What the output drops depend on, JSON-ready."""
        return {"kind": "regions", **asdict(self)}

    def most(self, n_classes: int) -> int:
        """Return the number of classes; one without a voxel changes nothing and costs nothing."""
        return n_classes

    def output_drops(self, clean: EvaluatedScan, start: int, stop: int) -> OutputDrops:
        """Return the output drops when regions `start` to `stop` are removed ``[stop - start, L]``."""
        readout = Readout(clean, self.aggregation)
        image = readout.problem.image
        base = baseline_image(self.baseline, image, clean.model)
        labels = torch.as_tensor(clean.prediction.labels.astype(np.int64), device=image.device)
        return readout.output_drops(torch.where(labels == b, base, image) for b in range(start, stop))


class RoiFaithfulness(Metric):
    """Correlation over regions b of ``mass[a, b]`` and the absolute drop of a's output when b is removed.

    The details hold Spearman's and Pearson's, those of ``signed`` with the signed drop, and all of them
    without background and a itself.
    """

    name = "roi_faithfulness"
    direction = "higher"
    bounds = (-1.0, 1.0)
    unit = "correlation"

    baseline: Baseline = "zero"
    """What a removed region becomes."""
    aggregation: str = "sum"
    """``sum``, ``mean``, ``probability`` or ``margin``."""
    correlation: Literal["spearman", "pearson"] = "spearman"
    """Which correlation is the score."""

    def model_post_init(self, context: Any, /) -> None:
        """Refuse outputs without a meaning."""
        check_readout(self.aggregation, "fixed", "logits")

    @property
    def perturbations(self) -> Regions:
        """The predicted regions, removed one by one."""
        return Regions(self.baseline, self.aggregation)

    def scores(self, subject: Subject, output_drops: Callable[[int], OutputDrops]) -> Mapping[str, Score]:
        """Return the score of each class of a subject."""
        names = subject.clean.prediction.class_names
        present = np.array([n > 0 for n in subject.clean.prediction.n_voxels.values()])
        drops, matrix = output_drops(len(names)), subject.matrix()
        scores = {}
        for a in subject.classes:
            index = names.index(a)
            drop = drops[:, index]  # [R]
            mass, signed = (of_classes(matrix[v], a, names) for v in ("mass", "signed"))
            others = present.copy()
            others[[0, index]] = False
            details: dict[str, float] = {}
            for suffix, chosen in (("", present), ("_of_others", others)):
                for kind, ranks in (("spearman", True), ("pearson", False)):
                    size = correlate(mass[chosen], np.abs(drop[chosen]), ranks=ranks)
                    sign = correlate(signed[chosen], drop[chosen], ranks=ranks)
                    details |= {f"{kind}{suffix}": size, f"signed_{kind}{suffix}": sign}
            scores[a] = Score(details[self.correlation], None, details)
        return scores


DROP_VARIANTS = tuple(
    f"{sign}{kind}{part}"
    for part in ("", "_of_others")
    for sign in ("", "signed_")
    for kind in ("spearman", "pearson")
)
"""Correlations that `RoiFaithfulness` tells, with all regions and without background and the class itself."""

REFERENCE_DETAILS = ("exact_mass_share", "relative_standard_error")
"""What `RoiDistance` tells of the matrix that it measures against."""


class RoiDistance(Metric):
    """Total variation between a row of the matrix and that of the exact Shapley values of regions.

    0 where a method's matrix is the exact one, 1 where they have no region in common. The exact
    row is ``|phi_b|`` of `shapley_semantic`, divided by its sum. The details hold the distance of the
    rows without background and a itself, too.
    """

    name = "roi_distance"
    direction = "lower"
    bounds = (0.0, 1.0)
    unit = "total variation"
    needs_exact_matrix = True

    def scores(self, subject: Subject, output_drops: Callable[[int], OutputDrops]) -> Mapping[str, Score]:
        """Return the score of each class of a subject."""
        names = subject.clean.prediction.class_names
        ours, exact = subject.matrix()["mass"], subject.exact_matrix()["mass"]
        scores = {}
        for a in subject.classes:
            rows = [of_classes(matrix, a, names) for matrix in (ours, exact)]
            of_others = [np.delete(row, np.unique([0, names.index(a)])) for row in rows]
            details = {name: subject.exact_info(a)[name] for name in REFERENCE_DETAILS}
            details["of_others"] = total_variation(*of_others)
            scores[a] = Score(total_variation(*rows), None, details)
        return scores


def of_classes(matrix: xr.DataArray, a: str, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Return row a of a matrix over the predicted classes ``[L]``."""
    return np.asarray(matrix.sel(target=a, roi=list(names)).values, dtype=np.float64)


def total_variation(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Return half the summed absolute difference of two rows, each divided by its sum."""
    p, q = np.nan_to_num(p), np.nan_to_num(q)
    if not (p.sum() > 0 and q.sum() > 0):
        return float("nan")
    return float(np.abs(p / p.sum() - q / q.sum()).sum() / 2)
