"""Logits of the whole sliding-window model, and what it segments."""

from __future__ import annotations

import math

import numpy as np
import torch

from agg2exp_core.execution import fitting_windows, require_bytes
from agg2exp_core.types import Prediction, Scan, SegmentationModel, Shape3
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
    tiling = Tiling(model.windows, spatial_shape(image))
    blending = tiling.blending(image.device, image.dtype)
    padded = tiling.pad(image)
    stitched = padded.new_zeros((model.n_classes, *tiling.padded_shape))
    for row in tiling.rows:
        slab = padded[:, row.planes]
        for batch in row.batches(window_batch):
            logits = model.logits(tiling.gather(slab, batch))  # [B, L, *window]
            for i, of_window in zip(batch, logits, strict=True):
                stitched[(slice(None), *tiling.windows[i])] += of_window * blending.importance
        finished = slice(row.planes.start, row.planes.start + row.n_finished)
        stitched[:, finished] /= blending.total(row.planes)[: row.n_finished]
    return tiling.crop(stitched)


def prediction_bytes(model: SegmentationModel, padded_shape: Shape3) -> int:
    """Return the memory of a prediction's volumes: stitched logits, and what is read off them."""
    n_logits = model.n_classes + model.n_channels + 4  # the image; N, own logit, log total, probability
    index_bytes = 8
    return math.prod(padded_shape) * (n_logits * model.dtype.itemsize + index_bytes)


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
    shape = Tiling(model.windows, spatial_shape(image)).padded_shape
    require_bytes(
        model,
        n_bytes=prediction_bytes(model, shape),
        purpose=f"a scan of {' x '.join(map(str, shape))} voxels with {model.n_classes} classes",
    )
    logits = fitting_windows(  # [L, X, Y, Z]
        model, window_batch, lambda n: sliding_logits(model, image, window_batch=n)
    )
    own_logit, labels = logits.max(dim=0)
    log_total = torch.stack([torch.logsumexp(plane, dim=0) for plane in logits.unbind(1)])
    label_type = np.uint8 if model.n_classes <= 256 else np.uint16
    return Prediction(
        labels=labels.cpu().numpy().astype(label_type),
        class_names=model.class_names,
        own_logit=own_logit.cpu().numpy(),
        own_probability=torch.exp(own_logit - log_total).cpu().numpy(),
    )
