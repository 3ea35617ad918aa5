"""What is explained: a phantom of the thorax, its own label map, a small network in many windows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from monai.networks.nets import UNet
from numpy.typing import NDArray

from agg2exp_core import wrap_network
from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.phantom import make_phantom
from agg2exp_core.types import Prediction, SegmentationModel
from agg2exp_core.windows import Tiling


@dataclass(frozen=True, eq=False)
class Case:
    """A scan, its label map and a network.

    Parameters
    ----------
    model : SegmentationModel
        17 classes; random but fixed weights, since time does not depend on them.
    image : torch.Tensor, shape [1, X, Y, Z]
        Intensities of a phantom, 0 to 1.
    prediction : Prediction
        The phantom's own labels in place of the network's: a realistic number of classes a window.
    """

    model: SegmentationModel
    image: torch.Tensor
    prediction: Prediction

    @cached_property
    def tiling(self) -> Tiling:
        """The windows; the scan is no smaller than one, so that nothing is padded."""
        x, y, z = self.image.shape[1:]
        return Tiling(self.model.windows, (x, y, z))

    @cached_property
    def present(self) -> list[int]:
        """Indices of the classes that the scan holds."""
        return [self.model.class_names.index(name) for name in self.prediction.present]

    @cached_property
    def classes_in_windows(self) -> list[list[int]]:
        """Indices of the classes that each window holds."""
        return [np.unique(self.prediction.labels[window]).tolist() for window in self.tiling.windows]

    def mask(self, c: int) -> torch.Tensor:
        """Return the voxels of a class ``[X, Y, Z]``."""
        return torch.from_numpy(self.prediction.labels == c)

    def monai_logits(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits ``[B, L, X, Y, Z]`` by MONAI's sliding window, with the model's settings."""
        settings = self.model.windows
        infer = partial(sliding_window_inference, roi_size=settings.shape, sw_batch_size=1)
        return infer(
            inputs=images, predictor=self.model.network, overlap=settings.overlap, mode=settings.blend
        )

    def class_output(self, c: int, images: torch.Tensor) -> torch.Tensor:
        """Return the summed logits over a class's voxels ``[B]``, as a user of Captum writes it."""
        return (self.monai_logits(images)[:, c] * self.mask(c)).flatten(1).sum(1)

    def crop(self, *voxels: slice) -> Case:
        """Return a part of the scan."""
        labels = self.prediction.labels[voxels]
        return Case(self.model, self.image[:, *voxels].contiguous(), labelled(labels))


def make_case(*, spacing_mm: float, window_side: int) -> Case:
    """Return the phantom at a spacing, under windows of a side with a quarter of overlap."""
    phantom = make_phantom(0, spacing_mm)
    torch.manual_seed(0)
    network = UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=len(THORAX_CLASSES),
        channels=(8, 16, 32, 64),
        strides=(2, 2, 2),
        norm="batch",
    )
    model = wrap_network(network, THORAX_CLASSES, (window_side,) * 3, 0.25)
    image = (np.clip(phantom.hu, -1024, 1024).astype(np.float32) + 1024) / 2048
    return Case(model, torch.from_numpy(image)[None], labelled(phantom.labels))


def labelled(labels: NDArray[np.uint8]) -> Prediction:
    """Return the prediction of a model that is sure of these classes ``[X, Y, Z]``."""
    certain = np.ones(labels.shape, np.float32)
    return Prediction(labels, THORAX_CLASSES, own_logit=certain, own_probability=certain)
