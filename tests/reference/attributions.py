"""The attributions of Eq. 2 to 5, by autograd through MONAI's stitched volume."""

import numpy as np
import torch
from monai.inferers import sliding_window_inference

from agg2exp_core.random import standard_normal


def f(model, image):
    """Logits of the whole sliding-window model [L, X, Y, Z], differentiable."""
    windows = model.windows
    return sliding_window_inference(
        image[None], windows.shape, 1, model.network, windows.overlap, windows.blend, windows.sigma_scale
    )[0]


def f_hat(model, image, clean, c, aggregation, roi=None):
    """Eq. 2: the aggregated output of class c, its mask fixed from the clean scan."""
    logits = f(model, image)[c]
    clean_logits = f(model, clean).detach()
    mask = clean_logits.argmax(0) == c
    if aggregation == "sum":
        return (logits * mask).sum()
    if aggregation == "mean":
        return (logits * mask).sum() / mask.sum()
    if aggregation == "probability":
        probability = clean_logits.softmax(0)[c] * mask
        return (logits * probability).sum() / probability.sum()
    if aggregation == "margin":
        runner_up = clean_logits.sort(0).indices[-2]
        return ((logits - f(model, image).gather(0, runner_up[None])[0]) * mask).sum()
    if aggregation == "median":
        inside = logits[mask].sort().values
        return (inside[(len(inside) - 1) // 2] + inside[len(inside) // 2]) / 2
    if aggregation == "roi":
        return (logits * torch.as_tensor(roi)).sum()
    raise AssertionError(aggregation)


def vanilla_gradient(model, image, c, aggregation="sum", at=None, roi=None):
    """Eq. 3, at the scan itself or at a perturbed one."""
    point = (image if at is None else at).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(f_hat(model, point, image, c, aggregation, roi), point)
    return gradient


def smoothgrad(model, image, c, n_samples, sigma, seed, aggregation="sum"):
    """Eq. 4."""
    total = torch.zeros_like(image)
    for sample in range(n_samples):
        noise = torch.from_numpy(standard_normal(image.shape, seed, "", sample)).to(image)
        noisy = image + sigma * (image.max() - image.min()) * noise
        total += vanilla_gradient(model, image, c, aggregation, at=noisy)
    return total / n_samples


def integrated_gradients(model, image, c, nodes, weights, baseline=0.0, aggregation="sum"):
    """Eq. 5 with any nodes and weights on [0, 1]."""
    start = torch.zeros_like(image) + baseline
    total = torch.zeros_like(image)
    for node, weight in zip(nodes, weights, strict=True):
        at = start + node * (image - start)
        total += weight * vanilla_gradient(model, image, c, aggregation, at=at)
    return (image - start) * total


def present_classes(model, image):
    """Classes that win at least one voxel."""
    return np.unique(f(model, image).detach().argmax(0).numpy()).tolist()
