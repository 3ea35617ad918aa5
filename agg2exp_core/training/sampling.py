"""Random patches for training; those of an update depend on its number and the seed alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
import torch
from monai.transforms.compose import Compose
from monai.transforms.croppad.dictionary import CropForegroundd, RandCropByPosNegLabeld, SpatialPadd
from monai.transforms.intensity.dictionary import RandShiftIntensityd
from monai.transforms.spatial.dictionary import RandRotate90d, RandZoomd

from agg2exp_core.training.config import TrainingSchedule, TrainingSettings
from agg2exp_core.training.examples import Example
from agg2exp_core.types import Shape3

S = TypeVar("S")
B = TypeVar("B")
Batch = tuple[torch.Tensor, torch.Tensor]
"""Images ``[B, C, *window]`` and labels ``[B, 1, *window]``."""


class NumberedBatches(ABC, Generic[S, B]):
    """The batches of a training by their number: any process, at any time, draws the same one.

    Parameters
    ----------
    scans : sequence
        What they are cut from.
    schedule : TrainingSchedule
        Their size and seed.
    stream : int
        Of the device among several, or of another purpose; each gets others.
    """

    def __init__(self, scans: Sequence[S], schedule: TrainingSchedule, stream: int = 0) -> None:
        self._scans, self._seed, self._stream = scans, schedule.seed, stream

    def __getitem__(self, number: int) -> B:
        return self.draw(torch.Generator().manual_seed(seed_of(self._seed, self._stream, number)))

    @abstractmethod
    def draw(self, random: torch.Generator) -> B:
        """Return a batch that depends on the generator alone."""

    def pick(self, random: torch.Generator) -> S:
        """Return one of the scans."""
        return self._scans[int(torch.randint(len(self._scans), (1,), generator=random))]


def seed_of(*key: int) -> int:
    """Return a seed that is its key's own."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


def draw_seed(random: torch.Generator) -> int:
    """Return a seed for a transform of MONAI's."""
    return int(torch.randint(2**31, (1,), generator=random))


class PatchBatches(NumberedBatches[Example, Batch]):
    """Patches with their labels, augmented as the settings say; see `NumberedBatches`."""

    def __init__(self, scans: Sequence[Example], settings: TrainingSettings, stream: int = 0) -> None:
        super().__init__(scans, settings, stream)
        self._settings = settings
        self._transform = paper_transform(settings.window_shape)

    def draw(self, random: torch.Generator) -> Batch:
        """Return a batch that depends on the generator alone."""
        cut = self._cut_as_the_paper if self._settings.augmentation == "paper" else self._cut_gently
        pairs = [cut(self.pick(random), random) for _ in range(self._settings.batch_size)]
        images, labels = (torch.stack(part) for part in zip(*pairs, strict=True))
        return images, labels

    def _cut_as_the_paper(self, example: Example, random: torch.Generator) -> Batch:
        self._transform.set_random_state(draw_seed(random))
        (patch,) = self._transform({"image": example.image, "label": example.labels[None]})
        return patch["image"].as_tensor(), patch["label"].as_tensor().long()

    def _cut_gently(self, example: Example, random: torch.Generator) -> Batch:
        """Return a patch from anywhere, hardly changed.

        It may hang over the border of its scan, by a sixteenth of its size or by what the scan lacks; there
        the image is 0 and the label background, as where a scan is padded. Intensities are scaled by 0.95 to
        1.05, shifted by up to 0.02 and made noisy with a standard deviation of up to 0.02.
        """
        image, labels = _patch(example, self._settings.window_shape, random)
        scale, shift, noise = torch.rand(3, generator=random).tolist()
        image = image * (0.95 + 0.1 * scale) + 0.04 * (shift - 0.5)
        image = image + 0.02 * noise * torch.randn(image.shape, generator=random)
        return image.clamp(0, 1), labels[None]


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
