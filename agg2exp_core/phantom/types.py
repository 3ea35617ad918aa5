"""A finished phantom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.types import Grid


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic thorax CT and the truth about it.

    Parameters
    ----------
    hu : ndarray of int16, shape [X, Y, Z]
        Hounsfield units.
    labels : ndarray of uint8, shape [X, Y, Z]
        Index into `agg2exp_core.labels.THORAX_CLASSES`.
    grid : Grid
        Of both; the axes point right, front and up (RAS).
    metadata : mapping
        Age, sex and the like, JSON-ready.
    pathologies : mapping
        Masks ``[X, Y, Z]`` by name.
    """

    hu: NDArray[np.int16]
    labels: NDArray[np.uint8]
    grid: Grid
    metadata: Mapping[str, Any]
    pathologies: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
