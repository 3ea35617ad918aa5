"""What is explained on both devices: small networks, and a phantom with the packaged models."""

from functools import cache

import numpy as np
import torch

from agg2exp_core import load_model, predict
from agg2exp_core.phantom import make_phantom
from tests.networks import random_image, smooth_model


def small(device, dtype=torch.float64, n_channels=1, **settings):
    """A network with smooth activations, on a device."""
    return smooth_model(dtype, n_channels, device=device, **settings)


def image_of(shape, dtype=torch.float64, n_channels=1):
    return random_image(n_channels, *shape, dtype=dtype)


@cache
def packaged(name, device):
    return load_model(name, device)


@cache
def phantom():
    """The middle of a thorax at 4 mm, 0 to 1, and what the packaged U-Net segments in it on the CPU."""
    hu = make_phantom(0, 4.0).hu
    x, y, z = (max(whole - n, 0) // 2 for whole, n in zip(hu.shape, (72, 72, 64), strict=True))
    hu = hu[x : x + 72, y : y + 72, z : z + 64]
    image = torch.from_numpy((np.clip(hu, -1024, 1024).astype(np.float32) + 1024) / 2048)[None]
    return image, predict(packaged("thorax_phantom", "cpu"), image)


def off_by(values, truth):
    """The largest error as a share of the peak."""
    return float(np.abs(np.asarray(values, np.float64) - truth).max() / np.abs(truth).max())
