"""From stored voxels to the local matrix, against a loop over masks and against reading alone."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial

import dask
import dask.array as da
import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from agg2exp_core import open_store
from agg2exp_core.importance import RoiSet, local_importance_from_arrays
from agg2exp_core.store.scan import ScanStore
from agg2exp_core.types import Grid, Prediction, Scan
from benchmarks.attribution.case import Case, labelled
from benchmarks.timing import Row, alternate, once, ratio

LABEL = "noise"


def stored_noise(case: Case, folder: str, n_times: int) -> tuple[ScanStore, Prediction]:
    """Store an attribution of every class, `n_times` as fine along each axis as the case.

    Its mantissas are noise, which no codec shrinks: reading is as slow as for gradients.
    """
    labels = case.prediction.labels
    for axis in range(3):
        labels = labels.repeat(n_times, axis)
    prediction = labelled(labels)
    there = open_store(folder, create=True).scan("phantom")
    affine = np.eye(4)
    image = torch.zeros((1, *labels.shape))
    there.write_image(Scan("phantom", image, affine, Grid(labels.shape, affine), "0"))
    rng = np.random.default_rng(0)
    for name in prediction.present:
        values = rng.standard_normal(labels.shape, np.float32)
        there.write_unit(LABEL, name, values, identity="0", info={})
    return there, prediction


Arrays = Mapping[str, da.Array]
"""Attributions by class, stored or in memory."""


def reduced(arrays: Arrays, prediction: Prediction) -> xr.Dataset:
    """Return the matrix, all its variables."""
    return local_importance_from_arrays(arrays, RoiSet.of(prediction))


def looped(arrays: Arrays, prediction: Prediction) -> dict[str, NDArray[np.float64]]:
    """Return the same variables ``[n_targets, n_rois]``, one pair of class and region after the other."""
    pairs = []
    for a in prediction.present:
        values = arrays[a].compute()
        norm = np.abs(values).sum(dtype=np.float64)
        positive = values[values > 0].sum(dtype=np.float64)
        for b in prediction.present:
            inside = values[prediction.mask(b)]
            mass = np.abs(inside).sum(dtype=np.float64)
            gain = inside[inside > 0].sum(dtype=np.float64)
            pairs.append(
                {
                    "mass": mass / norm,
                    "mass_positive": gain / positive,
                    "mass_negative": (mass - gain) / (norm - positive),
                    "signed": (2 * gain - mass) / norm,
                    "mean": mass / inside.size,
                    "concentration": mass / norm / (inside.size / values.size),
                    "variance": inside.var(dtype=np.float64),
                }
            )
    n = len(prediction.present)
    return {name: np.array([pair[name] for pair in pairs]).reshape(n, n) for name in pairs[0]}


def read(arrays: Arrays) -> None:
    """Read every attribution and take its absolute values, chunk by chunk on all cores."""
    dask.compute([array.map_blocks(lambda block: np.abs(block)[:1, :1, :1]) for array in arrays.values()])


def largest_difference(arrays: Arrays, prediction: Prediction) -> float:
    """Return the largest relative difference of any variable of the two matrices."""
    E = reduced(arrays, prediction).sel(target=list(prediction.present), roi=list(prediction.present))
    return max(
        float(np.abs(E[name].values - values).max() / np.abs(values).max())
        for name, values in looped(arrays, prediction).items()
    )


def rows(case: Case, n_times: int, n_repeats: int) -> list[Row]:
    """Return the rows; see `stored_noise` for `n_times`."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        there, prediction = stored_noise(case, folder, n_times)
        stored = {name: there.attribution(LABEL, name) for name in prediction.present}
        loaded = {
            name: da.from_array(array.compute(), chunks=array.chunks, name=f"{name} in memory")
            for name, array in stored.items()
        }
        difference = largest_difference(stored, prediction)
        for where, arrays in (("in memory", loaded), ("in the store", stored)):
            works = {
                "ours": partial(reduced, arrays, prediction),
                "loop": partial(looped, arrays, prediction),
                "read": partial(read, arrays),
            }
            seconds = alternate(works, n_repeats)
            faster = ratio(seconds["loop"], seconds["ours"])
            found += [
                Row(f"matrix from voxels {where}, times faster than a loop over masks", faster, at_least=5),
                Row("the same, over reading and absolute values", ratio(seconds["ours"], seconds["read"]), 4),
            ]
    return [*found, once("the same, largest relative difference", difference, at_most=1e-6)]
