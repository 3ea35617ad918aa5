"""The data that the rooms hand to each other: frozen, small, documented."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from agg2exp_core.arithmetic import arithmetic
from agg2exp_core.errors import ModelError
from agg2exp_core.remarks import Remark
from agg2exp_core.settings import Flag, Positive, Real, Settings

if TYPE_CHECKING:  # what imports types need not load it
    import zarr

DEGENERATE_SHARE = 0.95
"""Of a scan: a structure that fills as much is no structure."""

Shape3 = tuple[int, int, int]
FloatVolume = NDArray[np.floating[Any]]
"""A volume of real numbers ``[X, Y, Z]``."""
LabelVolume = NDArray[np.integer[Any]]
"""A volume of class indices ``[X, Y, Z]``."""
Mask = NDArray[np.bool_]
"""A region of interest ``[X, Y, Z]``."""
Affine = NDArray[np.float64]
"""Voxel index to RAS world coordinates in mm, ``[4, 4]``."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A voxel grid in the world.

    Parameters
    ----------
    shape : tuple of int
        Voxels along each axis ``(X, Y, Z)``.
    affine : ndarray of float64, shape [4, 4]
        Voxel index to RAS world coordinates in mm.
    """

    shape: Shape3
    affine: Affine

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Edge lengths of a voxel in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000.0


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan as it lies in its file, on its own grid.

    Parameters
    ----------
    values : ndarray of float32, shape [X, Y, Z], or [C, X, Y, Z] for several channels
        Intensities with slope and intercept applied (HU for CT).
    grid : Grid
        The file's grid.
    content_hash : str
        Hex digest of values and grid: the scan's identity.
    path : str
        Where it was read, for messages only.
    remarks : tuple of Remark
        What of its files was doubtful, and how it was read.
    """

    values: NDArray[np.float32]
    grid: Grid
    content_hash: str
    path: str
    remarks: tuple[Remark, ...] = ()


class Preprocessing(Protocol):
    """Brings a volume to the orientation, spacing and intensities that a model was trained on.

    It may have `expects`, a tuple that says by channel what a scan is to hold (``hounsfield``,
    ``no hounsfield`` or nothing): scans that do not are then refused or told.
    """

    def __call__(self, volume: Volume) -> tuple[torch.Tensor, Affine]:
        """Return the image, float32 ``[C, X, Y, Z]`` on the CPU, and its affine ``[4, 4]``."""

    def describe(self) -> Mapping[str, Any]:
        """Return JSON-ready settings; equal settings mean equal results."""


@dataclass(frozen=True, eq=False)
class Scan:
    """One preprocessed scan, in the model's own orientation.

    Parameters
    ----------
    scan_id : str
        The name that the user chose or that follows from the path.
    image : torch.Tensor, shape [C, X, Y, Z]
        Preprocessed intensities on the CPU, float32.
    affine : ndarray of float64, shape [4, 4]
        Of `image`: voxel index to RAS world coordinates in mm.
    source : Grid
        The grid of the file, where results are taken back to.
    content_hash : str
        Hex digest of the file's voxels and grid.
    remarks : tuple of Remark
        What is doubtful about it.
    """

    scan_id: str
    image: torch.Tensor
    affine: Affine
    source: Grid
    content_hash: str
    remarks: tuple[Remark, ...] = ()

    @property
    def grid(self) -> Grid:
        """The grid of `image`."""
        x, y, z = self.image.shape[1:]
        return Grid((int(x), int(y), int(z)), self.affine)


class WindowSettings(Settings):
    """How a network is slid over a scan."""

    shape: Annotated[tuple[Positive, Positive, Positive], Flag("window_shape")]
    """Voxels of a window along each axis."""
    overlap: Annotated[Real, Field(ge=0, lt=1)] = 0.25
    """Share of a window that its neighbour covers too."""
    blend: Literal["constant", "gaussian"] = "constant"
    """Importance of a window's voxels where windows overlap."""
    sigma_scale: Real = 0.125
    """Standard deviation of the Gaussian as a share of the window."""
    grid: Literal["monai", "nnunet"] = "monai"
    """Whose tiles: MONAI's have one step, and the last is moved back; nnU-Net's are spread evenly."""


@dataclass(frozen=True, eq=False)
class SegmentationModel:
    """A network with its windows, classes and preprocessing.

    Parameters
    ----------
    network : torch.nn.Module
        Logits ``[B, L, *window]`` from ``[B, C, *window]``, in evaluation mode.
    class_names : tuple of str
        The L classes in the order of the logits, background first.
    n_channels : int
        C, the channels of a preprocessed image.
    windows : WindowSettings
        How the network is slid over a scan.
    preprocessing : Preprocessing
        From a volume to the network's input.
    device : torch.device
        Where the network is.
    dtype : torch.dtype
        Of the network's weights, and so of logits and attributions.
    name : str
        For people.
    fingerprint : str
        Hex digest of weights and settings: the model's identity.
    decision : {"argmax", "last_positive"}
        Which class a voxel is of: that of the largest logit, or the last one whose logit is positive (class
        0 if none is), as in nnU-Net's nested regions.
    origin : mapping
        What its makers' files were and which of their options were chosen, JSON-ready; for the record.
    remarks : tuple of Remark
        What of its files was doubtful, and how it was read.
    tf32 : bool
        Whether a GPU may round the factors of convolutions and products in float32 to TF32.
    """

    network: torch.nn.Module
    class_names: tuple[str, ...]
    n_channels: int
    windows: WindowSettings
    preprocessing: Preprocessing
    device: torch.device
    dtype: torch.dtype
    name: str
    fingerprint: str
    decision: str = "argmax"
    origin: Mapping[str, Any] = field(default_factory=dict)
    remarks: tuple[Remark, ...] = ()
    tf32: bool = False

    @property
    def n_classes(self) -> int:
        """L, background included."""
        return len(self.class_names)

    def arithmetic(self) -> AbstractContextManager[None]:
        """Return what is open while the network is passed, forward or backward."""
        return arithmetic(self.device, tf32=self.tf32)

    def logits(self, windows: torch.Tensor) -> torch.Tensor:
        """Return the network's logits ``[B, L, *window]`` of windows ``[B, C, *window]``.

        Of a tuple, list or mapping the first item is taken: the full resolution of deep supervision.

        Raises
        ------
        ModelError
            If the network gives anything but logits of its classes on the window's own grid.
        """
        with self.arithmetic():
            logits = self.network(windows.clone())  # a network may change its input in place
        if isinstance(logits, Mapping):
            logits = tuple(logits.values())
        if isinstance(logits, tuple | list) and logits:
            logits = logits[0]
        expected = (windows.shape[0], self.n_classes, *windows.shape[2:])
        if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != expected:
            got = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise ModelError(
                self.name,
                got=f"an output {got} for windows {list(windows.shape)}",
                allowed=f"one tensor {list(expected)}: logits of the {self.n_classes} classes",
                remedy="correct the class names, the window, `output` or `activation` of the model",
            )
        return logits

    def decide(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the class of every voxel ``[...]`` by the logits ``[L, ...]``."""
        if self.decision == "argmax":
            return logits.max(dim=0).indices  # as argmax, in less than half the time
        order = torch.arange(len(logits), device=logits.device).view(-1, *[1] * (logits.ndim - 1))
        return ((logits > 0) * order).amax(dim=0)

    def check_channels(self, image: torch.Tensor, where: str) -> None:
        """Refuse an image whose channels the network does not take.

        Raises
        ------
        ModelError
            If `image` is not ``[C, X, Y, Z]`` with the model's C.
        """
        if image.ndim != 4 or image.shape[0] != self.n_channels:
            raise ModelError(
                where,
                got=f"an image of shape {list(image.shape)}",
                allowed=f"[C, X, Y, Z] with C = {self.n_channels} for the model {self.name}",
                remedy="use a scan with these channels, or another model",
            )


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model segments in one scan.

    Parameters
    ----------
    labels : ndarray of integers, shape [X, Y, Z]
        Class of every voxel by the logits of the whole sliding-window model (`SegmentationModel.decide`).
    class_names : tuple of str
        Names in the order of the indices.
    own_logit, own_probability : ndarray of float32, shape [X, Y, Z]
        Logit of each voxel's own class, and its probability by the softmax over all logits; of a stored
        prediction Zarr arrays, which are read where NumPy takes them.
    doubt : mapping of str to mapping of str to float
        Signs that the segmentation may be poor, by sign and class, which `agg2exp_core.prediction.doubt`
        describes; what is not known is left out.
    """

    labels: LabelVolume
    class_names: tuple[str, ...]
    own_logit: FloatVolume | zarr.Array[Any]
    own_probability: FloatVolume | zarr.Array[Any]
    doubt: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def entropy(self) -> Mapping[str, float]:
        """Mean entropy of that softmax over the voxels of each present class, in nats; empty if unknown."""
        return self.doubt.get("entropy", {})

    @property
    def n_voxels(self) -> dict[str, int]:
        """Voxels of each class, absent ones included as 0."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.class_names))
        return {name: int(n) for name, n in zip(self.class_names, counts, strict=True)}

    @property
    def present(self) -> tuple[str, ...]:
        """Classes with at least one voxel."""
        return tuple(name for name, n in self.n_voxels.items() if n)

    @property
    def uncertainty(self) -> dict[str, float]:
        """One less the mean maximum softmax over the voxels of each present class."""
        own = np.asarray(self.own_probability).ravel()
        sums = np.bincount(self.labels.ravel(), own, minlength=len(self.class_names))
        return {
            name: 1 - float(total) / n
            for (name, n), total in zip(self.n_voxels.items(), sums, strict=True)
            if n
        }

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """What is doubtful about it: one class that fills the scan, or no class but the first."""
        n_voxels = self.n_voxels
        largest = max(n_voxels, key=lambda name: n_voxels[name])
        share = n_voxels[largest] / self.labels.size
        if largest == self.class_names[0] and share == 1:
            return (Remark("prediction", f"the model found nothing but {largest}"),)
        if largest != self.class_names[0] and share >= DEGENERATE_SHARE:
            return (Remark("prediction", f"{largest} fills {share:.1%} of the scan"),)
        return ()

    def mask(self, class_name: str) -> Mask:
        """Return the voxels of one class ``[X, Y, Z]``."""
        return np.asarray(self.labels == self.class_names.index(class_name))


@dataclass(frozen=True, eq=False)
class ClassAttribution:
    """The voxel attribution that explains one class.

    Parameters
    ----------
    class_name : str
        The class that is explained.
    values : ndarray of float, shape [X, Y, Z], or [C, X, Y, Z] for several channels
        Contribution of each voxel to the aggregated output of the class; float32, or the
        network's own type if that is wider.
    info : mapping
        What the method says about its own result, JSON-ready (a completeness residual, for one).
    """

    class_name: str
    values: FloatVolume
    info: Mapping[str, Any] = field(default_factory=dict)
