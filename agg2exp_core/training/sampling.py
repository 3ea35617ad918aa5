"""Random patches for training; those of an update depend on its number and the seed alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from monai.transforms.compose import Compose
from monai.transforms.croppad.dictionary import CropForegroundd, RandCropByPosNegLabeld, SpatialPadd
from monai.transforms.intensity.dictionary import RandShiftIntensityd
from monai.transforms.spatial.dictionary import RandRotate90d, RandZoomd

from agg2exp_core.training.config import TrainingSettings
from agg2exp_core.training.examples import Example
from agg2exp_core.types import Shape3

Batch = tuple[torch.Tensor, torch.Tensor]
"""Images ``[B, C, *window]`` and labels ``[B, 1, *window]``."""


class Batches(torch.utils.data.Dataset[Batch]):
    """The batches of a training by their number: any worker, at any time, draws the same one.

    Parameters
    ----------
    dataset : sequence of Example
        What they are cut from.
    settings : TrainingSettings
        Their size, augmentation and seed.
    rank : int
        Of the device among several; each gets others.
    """

    def __init__(self, dataset: Sequence[Example], settings: TrainingSettings, rank: int = 0) -> None:
        self._dataset, self._settings, self._rank = dataset, settings, rank
        shape, size = settings.window_shape, settings.batch_size
        self._draw: Callable[[Sequence[Example], torch.Generator], Batch] = (
            partial(_paper_batch, paper_transform(shape), size)
            if settings.augmentation == "paper"
            else partial(_gentle_batch, shape, size)
        )

    def __len__(self) -> int:
        return self._settings.n_steps * self._settings.accumulate

    def __getitem__(self, number: int) -> Batch:
        random = torch.Generator().manual_seed(seed_of(self._settings.seed, self._rank, number))
        return self._draw(self._dataset, random)


def seed_of(*key: int) -> int:
    """Return a seed that is its key's own."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


def paper_transform(shape: Shape3) -> Compose:
    """Return the augmentation of the paper's code.

    The body is cropped out of the air, zoomed by 1.3 to 1.5 with probability 0.3, cut to a patch whose
    centre is foreground as often as background, turned by multiples of 90 degrees in the axial plane
    with probability 0.1 and shifted in intensity by up to 0.1 with probability 0.2.
    """
    keys = ["image", "label"]
    return Compose(
        [
            CropForegroundd(keys, source_key="image", allow_smaller=True),
            RandZoomd(
                keys, prob=0.3, min_zoom=1.3, max_zoom=1.5, mode=("trilinear", "nearest"), keep_size=False
            ),
            SpatialPadd(keys, spatial_size=shape),
            RandCropByPosNegLabeld(keys, label_key="label", spatial_size=shape, pos=1, neg=1, num_samples=1),
            RandRotate90d(keys, prob=0.1, max_k=3),
            RandShiftIntensityd(["image"], offsets=0.1, prob=0.2),
        ]
    )


def _paper_batch(transform: Compose, size: int, dataset: Sequence[Example], random: torch.Generator) -> Batch:
    patches = []
    for _ in range(size):
        example = dataset[int(torch.randint(len(dataset), (1,), generator=random))]
        transform.set_random_state(int(torch.randint(2**31, (1,), generator=random)))
        (patch,) = transform({"image": example.image, "label": example.labels[None]})
        patches.append((patch["image"].as_tensor(), patch["label"].as_tensor().long()))
    images, labels = (torch.stack(part) for part in zip(*patches, strict=True))
    return images, labels


def _gentle_batch(shape: Shape3, size: int, dataset: Sequence[Example], random: torch.Generator) -> Batch:
    """Return patches from anywhere, hardly changed.

    A patch may hang over the border of its scan, by a sixteenth of its size or by what the scan lacks;
    there the image is 0 and the label background, as where a scan is padded. Intensities are scaled by
    0.95 to 1.05, shifted by up to 0.02 and made noisy with a standard deviation of up to 0.02.
    """
    pairs = []
    for _ in range(size):
        example = dataset[int(torch.randint(len(dataset), (1,), generator=random))]
        image, labels = _patch(example, shape, random)
        scale, shift, noise = torch.rand(3, generator=random).tolist()
        image = image * (0.95 + 0.1 * scale) + 0.04 * (shift - 0.5)
        image = image + 0.02 * noise * torch.randn(image.shape, generator=random)
        pairs.append((image.clamp(0, 1), labels[None]))
    images, labels = (torch.stack(part) for part in zip(*pairs, strict=True))
    return images, labels


def _patch(example: Example, shape: Shape3, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    image = example.image.new_zeros((example.image.shape[0], *shape))
    labels = example.labels.new_zeros(shape)
    source: list[slice] = []
    target: list[slice] = []
    for n_voxels, n_window in zip(example.labels.shape, shape, strict=True):
        spare, overhang = n_voxels - n_window, n_window // 16
        low, high = min(0, spare) - overhang, max(0, spare) + overhang
        start = int(torch.randint(low, high + 1, (1,), generator=random))
        inside = slice(max(0, start), min(n_voxels, start + n_window))
        source.append(inside)
        target.append(slice(inside.start - start, inside.stop - start))
    image[(slice(None), *target)] = example.image[(slice(None), *source)]
    labels[tuple(target)] = example.labels[tuple(source)]
    return image, labels
