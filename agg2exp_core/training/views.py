"""Two views of random patches, turned and cut out; those of an update depend on its number and the seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from monai.transforms.compose import Compose
from monai.transforms.croppad.array import CropForeground, RandSpatialCrop, SpatialPad
from monai.transforms.intensity.array import RandCoarseDropout

from agg2exp_core.training.config import PretrainingSettings
from agg2exp_core.training.sampling import NumberedBatches, draw_seed

VALIDATION = 2**32 - 1
"""The stream of the batches that weights are scored on; those of training have the device's number."""


class Views(NamedTuple):
    """The first views of B patches, then their second views.

    Parameters
    ----------
    seen : torch.Tensor, shape [2B, C, *window]
        Turned, with holes that are filled with noise.
    whole : torch.Tensor, shape [2B, C, *window]
        Turned alone.
    turns : torch.Tensor, shape [2B]
        By how many quarters, int64.
    """

    seen: torch.Tensor
    whole: torch.Tensor
    turns: torch.Tensor


class ViewBatches(NumberedBatches[torch.Tensor, Views]):
    """Views of patches; see `NumberedBatches`, whose stream may be `VALIDATION`.

    A patch lies anywhere in the body; a view is turned by any number of quarters in the axial plane. Its
    holes are boxes with edges of a twentieth to a quarter of its own, filled with noise between its
    extremes; their volumes come to the share that is masked, and they may overlap.
    """

    def __init__(self, scans: Sequence[torch.Tensor], settings: PretrainingSettings, stream: int) -> None:
        super().__init__(scans, settings, stream)
        self._settings = settings
        self._patch = Compose(
            [
                CropForeground(allow_smaller=True),
                SpatialPad(settings.window_shape),
                RandSpatialCrop(settings.window_shape, random_size=False),
            ]
        )
        self._box = RandCoarseDropout(
            holes=1,
            spatial_size=[n // 20 + 1 for n in settings.window_shape],
            max_spatial_size=[n // 4 for n in settings.window_shape],
            prob=1.0,
        )

    def draw(self, random: torch.Generator) -> Views:
        """Return a batch that depends on the generator alone."""
        patches = [self._cut_patch(random) for _ in range(self._settings.batch_size)]
        turns = torch.randint(4, (2 * len(patches),), generator=random)
        whole = [torch.rot90(x, int(k), (1, 2)) for x, k in zip(patches * 2, turns, strict=True)]
        seen = [self._with_holes(x, random) for x in whole]
        return Views(torch.stack(seen), torch.stack(whole), turns)

    def _cut_patch(self, random: torch.Generator) -> torch.Tensor:
        image = self.pick(random)
        self._patch.set_random_state(draw_seed(random))
        return _plain(self._patch(image))

    def _with_holes(self, view: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        box, boxes = self._box, []
        box.set_random_state(draw_seed(random))
        n_missing = self._settings.masked_share * view[0].numel()
        while n_missing > 0:
            box.randomize(view.shape[1:])
            boxes += box.hole_coords
            n_missing -= math.prod(edge.stop - edge.start for edge in boxes[-1][1:])
        box.hole_coords = boxes
        return _plain(box(view.clone(), randomize=False))


def _plain(image: Any) -> torch.Tensor:
    """Return MONAI's tensor without its metadata."""
    tensor: torch.Tensor = image.as_tensor()
    return tensor
