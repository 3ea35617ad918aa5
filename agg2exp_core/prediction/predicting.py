"""What the whole sliding-window model segments: read off planes of logits while they are there."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from agg2exp_core.execution import fitting_windows, require_bytes
from agg2exp_core.prediction.doubt import Confidence, Members, Overlaps, fragments
from agg2exp_core.prediction.sliding import as_image, spatial_shape, summed_rows
from agg2exp_core.types import Prediction, Scan, SegmentationModel
from agg2exp_core.windows import Tiling


def prediction_bytes(model: SegmentationModel, tiling: Tiling) -> int:
    """Return the memory of a prediction: logits as thick as a window, the scan, and what is read off."""
    n_planes, *sides = tiling.padded_shape
    n_slabs = model.n_classes + model.n_channels + 2  # the windows' images; N, and what moves on
    n_volumes = model.n_channels + 2  # own logit and probability
    label_bytes = 2
    of_plane = math.prod(sides) * model.dtype.itemsize
    slab_bytes = tiling.settings.shape[0] * (n_slabs * of_plane + label_bytes * math.prod(sides))
    return slab_bytes + n_planes * (n_volumes * of_plane + label_bytes * math.prod(sides))


@torch.no_grad()
def predict(
    model: SegmentationModel, scan: Scan | torch.Tensor, *, window_batch: int | None = None
) -> Prediction:
    """Segment a scan with the whole sliding-window model (Eq. 1).

    Parameters
    ----------
    model : SegmentationModel
        The model.
    scan : Scan or torch.Tensor of shape [C, X, Y, Z]
        The preprocessed scan.
    window_batch : int, optional
        Windows per pass of the network, at most; by default what fits.

    Returns
    -------
    Prediction
        One label map for the whole scan, each voxel's own logit and probability, and the signs of doubt of
        each class.

    Raises
    ------
    ModelError
        If the channels are not the model's, or the logits of the scan do not fit in memory.
    """
    image = as_image(model, scan)
    tiling = Tiling(model.windows, spatial_shape(image))
    require_bytes(
        model,
        n_bytes=prediction_bytes(model, tiling),
        purpose=f"a scan of {' x '.join(map(str, tiling.padded_shape))} voxels "
        f"with {model.n_classes} classes",
    )
    read = fitting_windows(model, window_batch, lambda n: _read_off(model, image, tiling, n))
    # the slabs are gone here, and leave room for the parts of a class
    return replace(read, doubt={**read.doubt, "fragments": fragments(read.labels, model.class_names)})


def _read_off(model: SegmentationModel, image: torch.Tensor, tiling: Tiling, window_batch: int) -> Prediction:
    """Return what the finished planes of logits say."""
    shape, floating = spatial_shape(image), torch.empty(0, dtype=image.dtype).numpy().dtype
    labels = np.empty(shape, np.uint8 if model.n_classes <= 256 else np.uint16)
    own_logit, own_probability = np.empty(shape, floating), np.empty(shape, floating)
    confidence, overlaps, members = Confidence(model), Overlaps(model, tiling), Members(model, tiling)
    with members:
        for row, sums in summed_rows(model, image, tiling, window_batch, (overlaps, members)):
            leaving = zip(sums.leaving(row), overlaps.seen.leaving(row), strict=True)
            for (planes, logits), (_, seen) in leaving:
                index = model.decide(logits)
                own = logits.gather(0, index[None])[0]
                # the softmax by its logarithm: exp(logit) overflows in 16 bits
                log_total = torch.logsumexp(logits, dim=0)
                probability = torch.exp(own - log_total)
                labels[planes], own_logit[planes] = index.cpu().numpy(), own.cpu().numpy()
                own_probability[planes] = probability.cpu().numpy()
                confidence.add(logits, log_total, labels[planes], own_probability[planes])
                overlaps.add(planes, labels[planes], seen[0])
    doubt = {**confidence.told(), **overlaps.told(), **members.told()}
    return Prediction(labels, model.class_names, own_logit, own_probability, doubt)


@torch.no_grad()
def runner_up(
    model: SegmentationModel, scan: Scan | torch.Tensor, labels: torch.Tensor
) -> torch.Tensor | None:
    """Return the class of the largest logit but each voxel's own.

    Parameters
    ----------
    model : SegmentationModel
        The model.
    scan : Scan or torch.Tensor of shape [C, X, Y, Z]
        The clean scan.
    labels : torch.Tensor of integers, shape [X, Y, Z]
        Class of every voxel on the clean scan, on the model's device.

    Returns
    -------
    torch.Tensor of int16, shape [X, Y, Z], or None
        None where a class does not win against others but against 0: nested regions, or a single class.

    Notes
    -----
    The windows pass one by one: near ties another batch could turn the choice by rounding.
    """
    if model.decision != "argmax" or model.n_classes == 1:
        return None
    image = as_image(model, scan)
    found = torch.empty_like(labels, dtype=torch.int16)
    for row, sums in summed_rows(model, image, Tiling(model.windows, spatial_shape(image)), 1):
        for planes, logits in sums.leaving(row):
            others = logits.scatter(0, labels[planes].long()[None], -torch.inf)
            found[planes] = others.argmax(dim=0).to(torch.int16)
    return found
