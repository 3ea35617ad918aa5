"""RoI faithfulness: whether the matrix tells what happens when a region is removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from agg2exp_core.attribution.baselines import baseline_image, parse_baseline
from agg2exp_core.attribution.method import Geometry, Method, Passes
from agg2exp_core.attribution.ranges import one_of
from agg2exp_core.metrics.faithfulness import correlate
from agg2exp_core.metrics.metric import Clean, Falls, Score, Subject
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
        """What the falls depend on, JSON-ready."""
        return {"kind": "regions", **asdict(self)}

    def most(self, n_classes: int) -> int:
        """Return the number of classes; one without a voxel changes nothing and costs nothing."""
        return n_classes

    def falls(self, clean: Clean, start: int, stop: int) -> Falls:
        """Return the falls when regions `start` to `stop` are removed ``[stop - start, L]``."""
        readout = Readout(clean, self.aggregation)
        image = readout.problem.image
        base = baseline_image(self.baseline, image, clean.model)
        labels = torch.as_tensor(clean.prediction.labels.astype(np.int64), device=image.device)
        return readout.falls(torch.where(labels == b, base, image) for b in range(start, stop))


@dataclass(frozen=True)
class RoiFaithfulness:
    """Correlation over regions b of ``mass[a, b]`` and the absolute fall of a when b is removed.

    Parameters
    ----------
    baseline : str
        What a removed region becomes.
    aggregation : str
        ``sum``, ``mean`` or ``probability``.
    correlation : str
        ``spearman`` or ``pearson``: the value; the details hold both, those of ``signed`` with the
        signed fall, and all of them without background and a itself.
    """

    name: ClassVar[str] = "roi_faithfulness"
    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    bounds: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    unit: ClassVar[str] = "correlation"
    baseline: str = "zero"
    aggregation: str = "sum"
    correlation: str = "spearman"

    def __post_init__(self) -> None:
        object.__setattr__(self, "baseline", parse_baseline(self.baseline))
        one_of("correlation", self.correlation, ("spearman", "pearson"))
        check_readout(self.aggregation, "fixed", "logits")

    @property
    def perturbations(self) -> Regions:
        """The predicted regions, removed one by one."""
        return Regions(self.baseline, self.aggregation)

    def scores(self, subject: Subject, falls: Callable[[int], Falls]) -> Mapping[str, Score]:
        """Return the score of each class of a subject."""
        names = subject.clean.prediction.class_names
        present = np.array([n > 0 for n in subject.clean.prediction.n_voxels.values()])
        falls_of_all, matrix = falls(len(names)), subject.matrix()
        scores = {}
        for a in subject.classes:
            index = names.index(a)
            fall = falls_of_all[:, index]  # [R]
            mass, signed = (of_classes(matrix[v], a, names) for v in ("mass", "signed"))
            others = present.copy()
            others[[0, index]] = False
            details: dict[str, float] = {}
            for suffix, chosen in (("", present), ("_of_others", others)):
                for kind, ranks in (("spearman", True), ("pearson", False)):
                    size = correlate(mass[chosen], np.abs(fall[chosen]), ranks=ranks)
                    sign = correlate(signed[chosen], fall[chosen], ranks=ranks)
                    details |= {f"{kind}{suffix}": size, f"signed_{kind}{suffix}": sign}
            scores[a] = Score(details[self.correlation], None, details)
        return scores

    def passes(self, geometry: Geometry, method: Method) -> Passes:
        """Return none: all passes are those of the perturbations."""
        return Passes(0)


FALL_VARIANTS = tuple(
    f"{sign}{kind}{part}"
    for part in ("", "_of_others")
    for sign in ("", "signed_")
    for kind in ("spearman", "pearson")
)
"""Correlations that `RoiFaithfulness` tells, with all regions and without background and the class itself."""

YARDSTICK_DETAILS = ("exact_mass_share", "relative_standard_error")
"""What `RoiDistance` tells of the matrix that it measures against."""


@dataclass(frozen=True)
class RoiDistance:
    """Total variation between a row of the matrix and that of the exact Shapley values of regions.

    0 where a method's matrix is the exact one, 1 where they have no region in common. The exact
    row is ``|phi_b|`` of `shapley_semantic`, divided by its sum. The details hold the distance of the
    rows without background and a itself, too.
    """

    name: ClassVar[str] = "roi_distance"
    direction: ClassVar[Literal["higher", "lower"]] = "lower"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    unit: ClassVar[str] = "total variation"

    @property
    def perturbations(self) -> None:
        """None: the matrices alone say it."""
        return None

    def scores(self, subject: Subject, falls: Callable[[int], Falls]) -> Mapping[str, Score]:
        """Return the score of each class of a subject."""
        names = subject.clean.prediction.class_names
        ours, exact = subject.matrix()["mass"], subject.exact_matrix()["mass"]
        scores = {}
        for a in subject.classes:
            rows = [of_classes(matrix, a, names) for matrix in (ours, exact)]
            of_others = [np.delete(row, np.unique([0, names.index(a)])) for row in rows]
            details = {name: subject.exact_info(a)[name] for name in YARDSTICK_DETAILS}
            details["of_others"] = total_variation(*of_others)
            scores[a] = Score(total_variation(*rows), None, details)
        return scores

    def passes(self, geometry: Geometry, method: Method) -> Passes:
        """Return none: the yardstick is explained once for all methods."""
        return Passes(0)


def of_classes(matrix: xr.DataArray, a: str, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Return row a of a matrix over the predicted classes ``[L]``."""
    return np.asarray(matrix.sel(target=a, roi=list(names)).values, dtype=np.float64)


def total_variation(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Return half the summed absolute difference of two rows, each divided by its sum."""
    p, q = np.nan_to_num(p), np.nan_to_num(q)
    if not (p.sum() > 0 and q.sum() > 0):
        return float("nan")
    return float(np.abs(p / p.sum() - q / q.sum()).sum() / 2)
