"""Networks of the paper's size with random weights, and a scan over a phantom's label map."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from monai.networks.nets import SwinUNETR, UNet

from agg2exp_core import wrap_network
from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.phantom import make_phantom
from agg2exp_core.types import Prediction
from benchmarks.attribution.case import Case

N_RESENC_CLASSES = 61


@dataclass(frozen=True)
class Bench:
    """Where the benchmark runs, and how large.

    Parameters
    ----------
    device : str
        ``cuda`` or ``cpu``.
    small : bool
        Toy sizes, which show that it runs.
    """

    device: str
    small: bool

    def window(self, name: str) -> int:
        """Return the voxels of a network's window along each axis."""
        if self.small:
            return 16 if name == "unet" else 32
        return NETWORKS[name][0]

    def case(self, name: str) -> Case:
        """Return a network with a scan, both on the device."""
        n_classes, make = NETWORKS[name][1:]
        torch.manual_seed(0)
        network, window = make(self.small), self.window(name)
        names = tuple(THORAX_CLASSES[:n_classes]) + tuple(
            f"part {i}" for i in range(len(THORAX_CLASSES), n_classes)
        )
        model = wrap_network(network, names, (window,) * 3, 0.25, device=self.device, name=name)
        labels = label_map(max(window, 24) if self.small else 300, n_classes)
        image = torch.rand(1, *labels.shape, generator=torch.Generator().manual_seed(0))
        flat = np.broadcast_to(np.float32(1), labels.shape)
        return Case(model, image.to(self.device), Prediction(labels, names, flat, flat))

    def seconds(self, work: Callable[[], object]) -> float:
        """Return the wall time of some work and of all that it left to the device."""
        self.wait()
        started = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - started

    def wait(self) -> None:
        """Wait for the device."""
        if self.device == "cuda":
            torch.cuda.synchronize()


def cropped(case: Case, side: int) -> Case:
    """Return the middle of a scan."""
    start = max((case.image.shape[1] - side) // 2, 0)
    part = slice(start, start + side)
    clean = case.prediction
    labels = np.ascontiguousarray(clean.labels[part, part, part])
    flat = np.broadcast_to(np.float32(1), labels.shape)
    return replace(
        case,
        image=case.image[:, part, part, part].contiguous(),
        prediction=replace(clean, labels=labels, own_logit=flat, own_probability=flat),
    )


@cache
def label_map(side: int, n_classes: int) -> np.ndarray:
    """Return a phantom's labels ``[side, side, side]``; more classes than it has lie in its thirds."""
    labels = make_phantom(0, 4.0).labels
    places = [np.linspace(0, n - 1, side).round().astype(int) for n in labels.shape]
    labels = labels[np.ix_(*places)].astype(int)
    third = np.arange(side)[:, None, None] * 4 // side * (n_classes > len(THORAX_CLASSES))
    return np.minimum(labels + len(THORAX_CLASSES) * third, n_classes - 1).astype(np.uint8)


def _swin(small: bool) -> torch.nn.Module:
    size = (
        {"feature_size": 12, "depths": (1, 1, 1, 1), "norm_name": "batch"} if small else {"feature_size": 48}
    )
    return SwinUNETR(in_channels=1, out_channels=len(THORAX_CLASSES), use_v2=True, **size)


def _resenc(small: bool) -> torch.nn.Module:
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

    channels = (4, 8, 8, 8, 8, 8) if small else (32, 64, 128, 256, 320, 320)
    return ResidualEncoderUNet(
        input_channels=1,
        n_stages=6,
        features_per_stage=channels,
        conv_op=torch.nn.Conv3d,
        kernel_sizes=3,
        strides=(1, 2, 2, 2, 2, 2),
        n_blocks_per_stage=(1, 3, 4, 6, 6, 6),
        num_classes=N_RESENC_CLASSES,
        n_conv_per_stage_decoder=(1,) * 5,
        conv_bias=True,
        norm_op=torch.nn.BatchNorm3d if small else torch.nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=torch.nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    )


def _unet(small: bool) -> torch.nn.Module:
    return UNet(3, 1, len(THORAX_CLASSES), (8, 16, 32, 64), (2, 2, 2), norm="batch")


NETWORKS: dict[str, tuple[int, int, Callable[[bool], torch.nn.Module]]] = {
    "swin": (96, len(THORAX_CLASSES), _swin),
    "resenc": (128, N_RESENC_CLASSES, _resenc),
    "unet": (96, len(THORAX_CLASSES), _unet),
}
"""Window side, classes, what makes the network, small or not: Swin UNETR v2, nnU-Net's ResEnc L, a U-Net."""
