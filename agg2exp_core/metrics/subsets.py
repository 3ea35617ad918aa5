"""Random voxel subsets, set to the baseline: drawn by address, so that any task draws the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from agg2exp_core.attribution.baselines import Baseline, baseline_image
from agg2exp_core.metrics.metric import EvaluatedScan, OutputDrops
from agg2exp_core.metrics.outputs import Readout, check_readout
from agg2exp_core.random import generator
from agg2exp_core.settings import Settings


class Subsets(Settings):
    """Copies of a scan in which a random subset of voxels is the baseline, and how their outputs are read."""

    n_subsets: Annotated[int, Field(ge=3)] = 100
    """Subsets, at most."""
    subset_size: Annotated[int, Field(ge=1)] = 224**2
    """Voxels of each; at most half of the scan's."""
    subset_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """In place of the size: the share of the scan's voxels."""
    baseline: Baseline = "zero"
    """What removed voxels become, as for integrated gradients."""
    aggregation: str = "sum"
    """``sum``, ``mean``, ``probability`` or ``margin`` (Eq. 2)."""
    mask: Literal["fixed", "recomputed"] = "fixed"
    """``fixed`` from the clean scan, or ``recomputed`` on each perturbed one, as the published code."""
    output: Literal["logits", "probabilities"] = "logits"
    """``logits``, or ``probabilities``, as the published code."""

    def model_post_init(self, context: Any, /) -> None:
        """Refuse outputs without a meaning."""
        check_readout(self.aggregation, self.mask, self.output)

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What a row of output drops depends on, JSON-ready; how many there are is none of it."""
        return {"kind": "subsets", **self.model_dump()} | {"n_subsets": None}

    def most(self, n_classes: int) -> int:
        """Return how many there are."""
        return self.n_subsets

    def size(self, n_voxels: int) -> int:
        """Return the voxels of each subset of a scan."""
        if self.subset_share is not None:
            return max(math.ceil(self.subset_share * n_voxels), 1)
        return max(min(self.subset_size, n_voxels // 2), 1)

    def voxels(self, clean: EvaluatedScan, index: int) -> NDArray[np.int64]:
        """Return the flat indices of a subset's voxels, in ascending order ``[m]``."""
        n_voxels = clean.prediction.labels.size
        rng = generator(clean.seed, clean.scan.scan_id, "subset", index)
        return np.sort(rng.choice(n_voxels, self.size(n_voxels), replace=False, shuffle=False))

    def output_drops(self, clean: EvaluatedScan, start: int, stop: int) -> OutputDrops:
        """Return the output drops for subsets `start` to `stop` ``[stop - start, L]``."""
        readout = Readout(clean, self.aggregation, self.mask, self.output)
        image = readout.problem.image
        base = baseline_image(self.baseline, image, clean.model)

        def without(index: int) -> torch.Tensor:
            removed = torch.zeros(image[0].numel(), dtype=torch.bool, device=image.device)
            removed[torch.from_numpy(self.voxels(clean, index)).to(image.device)] = True
            return torch.where(removed.reshape(image.shape[1:]), base, image)

        return readout.output_drops(without(index) for index in range(start, stop))
