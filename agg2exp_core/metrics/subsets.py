"""Random voxel subsets, set to the baseline: drawn by address, so that any task draws the same."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agg2exp_core.attribution.baselines import baseline_image
from agg2exp_core.metrics.metric import Clean, Falls
from agg2exp_core.metrics.outputs import Readout


@dataclass(frozen=True)
class Subsets:
    """Copies of a scan in which a random subset of voxels is the baseline.

    Parameters
    ----------
    n_subsets : int
        How many.
    subset_size : int
        Voxels of each; at most half of a scan's.
    subset_share : float or None
        In place of the size: the share of the scan's voxels.
    baseline, aggregation, mask, output : str
        What voxels become, and how the outputs are read; see `Readout`.
    """

    n_subsets: int
    subset_size: int
    subset_share: float | None
    baseline: str
    aggregation: str
    mask: str
    output: str

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What a row of falls depends on, JSON-ready; how many there are is none of it."""
        return {"kind": "subsets", **asdict(self)} | {"n_subsets": None}

    def most(self, n_classes: int) -> int:
        """Return how many there are."""
        return self.n_subsets

    def size(self, n_voxels: int) -> int:
        """Return the voxels of each subset of a scan."""
        if self.subset_share is not None:
            return max(math.ceil(self.subset_share * n_voxels), 1)
        return max(min(self.subset_size, n_voxels // 2), 1)

    def voxels(self, clean: Clean, index: int) -> NDArray[np.int64]:
        """Return the flat indices of a subset's voxels, in ascending order ``[m]``."""
        n_voxels = clean.prediction.labels.size
        address = repr((clean.seed, clean.scan.scan_id, "subset", index)).encode()
        key = np.frombuffer(hashlib.sha256(address).digest()[:16], np.uint64)
        rng = np.random.Generator(np.random.Philox(key=key))
        return np.sort(rng.choice(n_voxels, self.size(n_voxels), replace=False, shuffle=False))

    def falls(self, clean: Clean, start: int, stop: int) -> Falls:
        """Return the falls for subsets `start` to `stop` ``[stop - start, L]``."""
        readout = Readout(clean, self.aggregation, self.mask, self.output)
        image = readout.problem.image
        base = baseline_image(self.baseline, image, clean.model)

        def without(index: int) -> torch.Tensor:
            removed = torch.zeros(image[0].numel(), dtype=torch.bool, device=image.device)
            removed[torch.from_numpy(self.voxels(clean, index)).to(image.device)] = True
            return torch.where(removed.reshape(image.shape[1:]), base, image)

        return readout.falls(without(index) for index in range(start, stop))
