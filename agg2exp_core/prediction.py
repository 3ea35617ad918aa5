"""Logits of the whole sliding-window model, and what it segments."""

from __future__ import annotations

import numpy as np
import torch

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
    for batch in tiling.batches(window_batch):
        logits = model.logits(tiling.gather(padded, batch))  # [B, L, *window]
        for i, of_window in zip(batch, logits, strict=True):
            stitched[(slice(None), *tiling.windows[i])] += of_window * blending.importance
    stitched /= blending.total
    return tiling.crop(stitched)


@torch.no_grad()
def predict(model: SegmentationModel, scan: Scan | torch.Tensor, *, window_batch: int = 1) -> Prediction:
    """Segment a scan with the whole sliding-window model (Eq. 1).

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
    Prediction
        One label map for the whole scan, and each voxel's own logit and probability.
    """
    logits = sliding_logits(model, scan, window_batch=window_batch)  # [L, X, Y, Z]
    own_logit, labels = logits.max(dim=0)
    log_total = torch.stack([torch.logsumexp(plane, dim=0) for plane in logits.unbind(1)])
    label_type = np.uint8 if model.n_classes <= 256 else np.uint16
    return Prediction(
        labels=labels.cpu().numpy().astype(label_type),
        class_names=model.class_names,
        own_logit=own_logit.cpu().numpy(),
        own_probability=torch.exp(own_logit - log_total).cpu().numpy(),
    )
