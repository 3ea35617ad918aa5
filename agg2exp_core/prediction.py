"""Logits of the whole sliding-window model, and what it segments."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from agg2exp_core.execution import Slab, fitting_windows, require_bytes
from agg2exp_core.types import FloatVolume, Prediction, Scan, SegmentationModel, Shape3
from agg2exp_core.windows import Tiling


def as_image(model: SegmentationModel, scan: Scan | torch.Tensor) -> torch.Tensor:
    """Return the image ``[C, X, Y, Z]`` of a scan or bare tensor, in the model's type, on its device.

    Raises
    ------
    ModelError
        If the channels are not the model's.
    """
    image = scan.image if isinstance(scan, Scan) else scan
    model.check_channels(image, scan.scan_id if isinstance(scan, Scan) else "image")
    return image.detach().to(device=model.device, dtype=model.dtype)


def spatial_shape(image: torch.Tensor) -> Shape3:
    """Return ``(X, Y, Z)`` of an image ``[C, X, Y, Z]``."""
    x, y, z = (int(n) for n in image.shape[1:])
    return x, y, z


@torch.no_grad()
def sliding_logits(
    model: SegmentationModel, scan: Scan | torch.Tensor, *, window_batch: int = 1
) -> torch.Tensor:
    """Return the logits of the whole model: windows blended by ``I / N``.

    Parameters
    ----------
    model : SegmentationModel
        The model.
    scan : Scan or torch.Tensor of shape [C, X, Y, Z]
        The preprocessed scan.
    window_batch : int
        Windows per pass of the network.

    Returns
    -------
    torch.Tensor, shape [L, X, Y, Z]
        ``f(x)`` on the model's device, in its type.
    """
    image = as_image(model, scan)
    logits = image.new_empty((model.n_classes, *image.shape[1:]))
    for planes, values in _logit_planes(model, image, window_batch):
        logits[:, planes] = values
    return logits


def _logit_planes(
    model: SegmentationModel, image: torch.Tensor, window_batch: int
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield planes of the scan in order, with their logits ``[L, n, Y, Z]``."""
    tiling = Tiling(model.windows, spatial_shape(image))
    blending = tiling.blending(image.device, image.dtype)
    sums = Slab.zeros(tiling, (model.n_classes,), image)
    for row in tiling.rows:
        planes = tiling.pad(image[:, tiling.planes_of_scan(row.planes)])
        for batch in row.batches(window_batch):
            logits = model.logits(tiling.gather(planes, batch))  # [B, L, *window]
            for i, of_window in zip(batch, logits, strict=True):
                sums.under(tiling.windows[i])[:] += of_window * blending.importance
        # I / N: importance of each window, over the total of all windows at a voxel
        sums.values[:, : row.n_finished] /= blending.total(row.planes)[: row.n_finished]
        yield from sums.leaving(row)


def prediction_bytes(model: SegmentationModel, tiling: Tiling) -> int:
    """Return the memory of a prediction: logits as thick as a window, the scan, and what is read off."""
    n_planes, *sides = tiling.padded_shape
    n_slabs = model.n_classes + model.n_channels + 2  # the windows' images; N, and what moves on
    n_volumes = model.n_channels + 2  # own logit and probability
    label_bytes = 2
    of_plane = math.prod(sides) * model.dtype.itemsize
    slab_bytes = tiling.settings.shape[0] * n_slabs * of_plane
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
        One label map for the whole scan, and each voxel's own logit and probability.

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
    return fitting_windows(model, window_batch, lambda n: _read_off(model, image, n))


def _read_off(model: SegmentationModel, image: torch.Tensor, window_batch: int) -> Prediction:
    """Return what the finished planes of logits say."""
    shape, floating = spatial_shape(image), torch.empty(0, dtype=image.dtype).numpy().dtype
    labels = np.empty(shape, np.uint8 if model.n_classes <= 256 else np.uint16)
    own_logit, own_probability = np.empty(shape, floating), np.empty(shape, floating)
    entropy, n_voxels = np.zeros(model.n_classes), np.zeros(model.n_classes)
    for planes, logits in _logit_planes(model, image, window_batch):
        index = model.decide(logits)
        own = logits.gather(0, index[None])[0]
        labels[planes] = index.cpu().numpy()
        own_logit[planes] = own.cpu().numpy()
        # the softmax by its logarithm: exp(logit) overflows in 16 bits
        log_total = torch.logsumexp(logits, dim=0)
        own_probability[planes] = torch.exp(own - log_total).cpu().numpy()
        indices = labels[planes].ravel()
        entropy += np.bincount(indices, _entropy(logits, log_total).ravel(), model.n_classes)
        n_voxels += np.bincount(indices, minlength=model.n_classes)
    means = zip(model.class_names, entropy, n_voxels, strict=True)
    of_class = {name: float(total / n) for name, total, n in means if n}
    return Prediction(labels, model.class_names, own_logit, own_probability, of_class)


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
    for planes, logits in _logit_planes(model, image, 1):
        others = logits.scatter(0, labels[planes].long()[None], -torch.inf)
        found[planes] = others.argmax(dim=0).to(torch.int16)
    return found


def _entropy(logits: torch.Tensor, log_total: torch.Tensor) -> FloatVolume:
    """Return the entropy of the softmax of each voxel ``[n, Y, Z]``, class by class to spare memory."""
    entropy = log_total.clone()  # -sum p log p = log sum exp(z) - sum p z
    for of_class in logits:
        entropy -= torch.exp(of_class - log_total) * of_class
    return entropy.cpu().numpy()
