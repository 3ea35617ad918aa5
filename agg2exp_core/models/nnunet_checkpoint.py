"""What a checkpoint of nnU-Net says, read without running code that it brings along."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agg2exp_core.errors import ModelError
from agg2exp_core.models.weights import read_tensors

_SCALAR = np.float64(0).__reduce__()[0]
_HARMLESS: list[Any] = [
    _SCALAR,
    (_SCALAR, "numpy.core.multiarray.scalar"),  # its name in NumPy 1
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "u1", "?")),
    codecs.encode,
]
"""What the numbers of the training's log are made of: scalars of NumPy, and their bytes."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The part of a checkpoint that inference needs.

    Parameters
    ----------
    path : Path
        Its file.
    weights : mapping
        The network's state dict.
    configuration : str
        Of the plans, such as ``3d_fullres``.
    mirror_axes : tuple of int
        Axes along which the training mirrored; empty if none.
    """

    path: Path
    weights: Mapping[str, Any]
    configuration: str
    mirror_axes: tuple[int, ...]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read ``checkpoint_*.pth`` with tensors, plain data and NumPy's scalars alone.

    Raises
    ------
    ModelError
        If it names other code, or is no checkpoint of nnU-Net v2.
    """
    content = read_tensors(path, _HARMLESS)
    try:
        return Checkpoint(
            path,
            content["network_weights"],
            str(content["init_args"]["configuration"]),
            tuple(int(axis) for axis in content.get("inference_allowed_mirroring_axes") or ()),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            path,
            got=f"no checkpoint of nnU-Net v2 ({type(error).__name__}: {error})",
            allowed="network_weights and init_args with the configuration",
            remedy="name a file that nnU-Net's trainer wrote",
        ) from error
