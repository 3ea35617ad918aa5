"""Regions of interest over one scan: a partition, unions of its classes, masks that may overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from agg2exp_core.errors import UsageError, out_of_range, unknown_name
from agg2exp_core.types import LabelVolume, Mask, Prediction


@dataclass(frozen=True, eq=False)
class RoiSet:
    """The regions that attributions are summed over. NumPy or Dask arrays.

    Parameters
    ----------
    labels : array of integers, shape [X, Y, Z], optional
        Class of every voxel: a partition of the scan.
    class_names : tuple of str
        Names of the classes in the order of the indices; none without `labels`.
    merged : mapping of str to sequence of str
        Unions of classes.
    extra : mapping of str to bool array, shape [X, Y, Z]
        Named masks, which may overlap each other and the classes.

    Raises
    ------
    UsageError
        If there is no region, a name stands twice, a union names no class, or shapes differ.
    """

    labels: LabelVolume | da.Array | None = None
    class_names: tuple[str, ...] = ()
    merged: Mapping[str, Sequence[str]] = field(default_factory=dict)
    extra: Mapping[str, Mask | da.Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = self.names
        if not names or len(set(names)) < len(names) or (self.labels is None) != (not self.class_names):
            raise UsageError(
                "RoIs",
                got=f"the names {list(names)}",
                allowed="one or more names, each once; classes and their label map together",
                remedy="rename or leave out what stands twice",
            )
        for part in (part for parts in self.merged.values() for part in parts):
            if part not in self.class_names:
                raise unknown_name("merged RoIs", part, self.class_names)
        shapes = {name: mask.shape for name, mask in self.extra.items()}
        if self.labels is not None:
            shapes["labels"] = self.labels.shape
        if len(set(shapes.values())) > 1 or len(self.shape) != 3:
            raise UsageError(
                "RoIs",
                got=f"the shapes {shapes}",
                allowed="one shape [X, Y, Z]",
                remedy="resample the masks to the scan's grid",
            )

    @classmethod
    def of(cls, rois: RoiSet | Prediction | Mapping[str, Mask]) -> RoiSet:
        """Return the regions of a prediction (its classes), of named masks, or those given."""
        if isinstance(rois, RoiSet):
            return rois
        if isinstance(rois, Prediction):
            return cls(rois.labels, rois.class_names)
        return cls(extra=rois)

    @property
    def unions(self) -> list[list[int]]:
        """Classes of each merged region, by index."""
        return [[self.class_names.index(part) for part in parts] for parts in self.merged.values()]

    def atoms(self, planes: slice = slice(None)) -> Atoms:
        """Return the atoms of the regions in some planes of the first axis, by default in all."""
        labels = None if self.labels is None else np.asarray(self.labels[planes])
        masks = [np.asarray(mask[planes]) for mask in self.extra.values()]
        return atoms(labels, masks, len(self.class_names), self.unions)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all regions: classes, merged, extra."""
        return (*self.class_names, *self.merged, *self.extra)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kind of each region: "class", "merged" or "extra"."""
        sizes = {"class": len(self.class_names), "merged": len(self.merged), "extra": len(self.extra)}
        return tuple(kind for kind, n in sizes.items() for _ in range(n))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the scan, ``(X, Y, Z)``."""
        first = self.labels if self.labels is not None else next(iter(self.extra.values()))
        return tuple(first.shape)


@dataclass(frozen=True, eq=False)
class Atoms:
    """The finest partition that every region is a union of: voxels of one atom lie in the same regions.

    Any number of overlapping regions thereby costs one pass over an attribution.

    Parameters
    ----------
    index : ndarray of integers, shape [X, Y, Z]
        Atom of every voxel.
    membership : ndarray of bool, shape [n_rois + 1, n_atoms]
        Which atoms make up a region; the last row is the whole scan.
    """

    index: NDArray[np.integer[Any]]
    membership: Mask

    @property
    def n_atoms(self) -> int:
        """Number of atoms, empty ones included."""
        return int(self.membership.shape[1])

    @cached_property
    def runs(self) -> NDArray[np.intp]:
        """Where stretches of one atom start in C order, ascending."""
        flat = self.index.reshape(-1)
        starts = np.ones(flat.size, bool)
        np.not_equal(flat[1:], flat[:-1], out=starts[1:])
        return np.flatnonzero(starts)

    @cached_property
    def n_voxels(self) -> NDArray[np.float64]:
        """Voxels of each region and of the whole scan ``[n_rois + 1]``."""
        lengths = np.diff(self.runs, append=self.index.size)
        per_atom = np.bincount(self.index.reshape(-1)[self.runs], lengths, self.n_atoms)
        return (self.membership @ per_atom).astype(np.float64)


def atoms(
    labels: LabelVolume | None, masks: Sequence[Mask], n_classes: int, unions: Sequence[Sequence[int]]
) -> Atoms:
    """Split a scan, or a part of it, into the atoms of its regions.

    Parameters
    ----------
    labels : ndarray of integers, shape [X, Y, Z], or None
        Class of every voxel.
    masks : sequence of ndarray of bool, shape [X, Y, Z]
        Regions that may overlap.
    n_classes : int
        Number of classes, 0 without labels.
    unions : sequence of sequences of int
        Classes of each merged region.

    Raises
    ------
    UsageError
        If a voxel's class has no name.
    """
    if labels is not None and labels.size and not 0 <= labels.min() <= labels.max() < n_classes:
        found = f"classes {labels.min()} to {labels.max()}"
        raise out_of_range(
            "labels", found, f"0 to {n_classes - 1}", remedy="name every class of the label map"
        )
    index = np.zeros(masks[0].shape, np.int32) if labels is None else labels.astype(np.int32)
    class_of = np.arange(max(n_classes, 1))  # [n_atoms]
    in_mask = np.zeros((len(masks), class_of.size), bool)  # [n_masks, n_atoms]
    # a mask splits each atom that it touches: the voxels in it become a new one, in the old one's regions too
    for number, mask in enumerate(np.asarray(mask, dtype=bool) for mask in masks):
        inside = index[mask]
        n_before = class_of.size
        touched = np.flatnonzero(np.bincount(inside, minlength=n_before))
        renamed = np.zeros(n_before, np.int32)
        renamed[touched] = n_before + np.arange(touched.size)
        index[mask] = renamed[inside]
        class_of = np.concatenate([class_of, class_of[touched]])
        in_mask = np.concatenate([in_mask, in_mask[:, touched]], axis=1)
        in_mask[number, n_before:] = True
    in_class = class_of == np.arange(n_classes)[:, None]  # [n_classes, n_atoms]
    in_union = [np.isin(class_of, list(parts)) for parts in unions]
    whole = np.ones(class_of.size, bool)
    return Atoms(index, np.stack([*in_class, *in_union, *in_mask, whole]))
