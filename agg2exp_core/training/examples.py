"""What a network learns from: preprocessed scans with their truth, and random patches of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from agg2exp_core.errors import UsageError
from agg2exp_core.phantom import Phantom, make_phantom
from agg2exp_core.types import Preprocessing, Shape3, Volume
from agg2exp_core.volumes import CTPreprocessing, content_hash


@dataclass(frozen=True, eq=False)
class Example:
    """A preprocessed scan with its truth.

    Parameters
    ----------
    scan_id : str
        For tables.
    image : torch.Tensor, shape [C, X, Y, Z]
        Preprocessed intensities, float32.
    labels : torch.Tensor, shape [X, Y, Z]
        Class indices, int64.
    """

    scan_id: str
    image: torch.Tensor
    labels: torch.Tensor


def phantom_example(scan_id: str, phantom: Phantom, preprocessing: Preprocessing) -> Example:
    """Preprocess a phantom that was made at the spacing of `preprocessing`.

    Raises
    ------
    UsageError
        If preprocessing moves the image off the grid of the labels.
    """
    values = phantom.hu.astype(np.float32)
    volume = Volume(values, phantom.grid, content_hash(values, phantom.grid), scan_id)
    image, _ = preprocessing(volume)
    if tuple(image.shape[1:]) != phantom.grid.shape:
        raise UsageError(
            "phantom",
            got=f"an image of {list(image.shape[1:])} for labels of {list(phantom.grid.shape)}",
            allowed="a phantom made at the spacing of the preprocessing",
            remedy="pass that spacing_mm to make_phantom",
        )
    return Example(scan_id, image, torch.from_numpy(phantom.labels.astype(np.int64)))


def phantom_examples(seeds: Iterable[int], preprocessing: CTPreprocessing) -> list[Example]:
    """Return the phantoms of `seeds`, made at the spacing of `preprocessing` and preprocessed."""
    return [
        phantom_example(f"seed {seed}", make_phantom(seed, preprocessing.spacing_mm), preprocessing)
        for seed in seeds
    ]


def draw_batch(
    dataset: Sequence[Example], window_shape: Shape3, batch_size: int, random: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return augmented patches ``[B, C, *window]`` and their labels ``[B, 1, *window]``.

    A patch may hang over the border of its scan, by a sixteenth of its size or by what the scan lacks;
    there the image is 0 and the label background, as where a scan is padded. Intensities are scaled by
    0.95 to 1.05, shifted by up to 0.02 and made noisy with a standard deviation of up to 0.02.
    """
    pairs = []
    for _ in range(batch_size):
        example = dataset[int(torch.randint(len(dataset), (1,), generator=random))]
        image, labels = _patch(example, window_shape, random)
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
