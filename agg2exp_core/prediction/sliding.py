"""Logits of the whole sliding-window model, by planes that no later window covers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch

from agg2exp_core.execution import Slab
from agg2exp_core.types import Scan, SegmentationModel, Shape3
from agg2exp_core.windows import Row, Tiling


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
    tiling = Tiling(model.windows, spatial_shape(image))
    for row, sums in summed_rows(model, image, tiling, window_batch):
        for planes, values in sums.leaving(row):
            logits[:, planes] = values
    return logits


class Witness(Protocol):
    """Sees the logits of single windows, before they are blended."""

    def see(self, place: int, window: int, logits: torch.Tensor) -> None:
        """Look at the logits ``[L, *window]`` of a window, by its place in the pass and its index."""


def summed_rows(
    model: SegmentationModel,
    image: torch.Tensor,
    tiling: Tiling,
    window_batch: int,
    witnesses: tuple[Witness, ...] = (),
) -> Iterator[tuple[Row, Slab]]:
    """Yield each row of windows with the slab of logits ``[L, n, Y, Z]``, whose finished planes can leave."""
    blending = tiling.blending(image.device, image.dtype)
    sums = Slab.zeros(tiling, (model.n_classes,), image)
    for row in tiling.rows:
        planes = tiling.pad(image[:, tiling.planes_of_scan(row.planes)])
        for batch in row.batches(window_batch):
            logits = model.logits(tiling.gather(planes, batch))  # [B, L, *window]
            for place, (i, of_window) in enumerate(zip(batch, logits, strict=True)):
                sums.under(tiling.windows[i])[:] += of_window * blending.importance
                for witness in witnesses:
                    witness.see(place, i, of_window)
        # I / N: importance of each window, over the total of all windows at a voxel
        sums.values[:, : row.n_finished] /= blending.total(row.planes)[: row.n_finished]
        yield row, sums
