"""The metrics of Eq. 8 to 10, read off their formulas, in float64."""

import numpy as np
import torch

from tests.reference.attributions import f_hat


def faithfulness(model, image, attribution, c, subsets, base=0.0):
    """Eq. 8: correlation over subsets of attribution sums and falls of the output."""
    sums, falls = [], []
    for voxels in subsets:
        perturbed = image.clone()
        for channel in perturbed:
            channel.view(-1)[torch.from_numpy(voxels)] = base
        sums.append(attribution.ravel()[voxels].sum())
        clean = f_hat(model, image, image, c, "sum")
        falls.append(float((clean - f_hat(model, perturbed, image, c, "sum")).detach()))
    sums, falls = np.array(sums), np.array(falls)
    covariance = ((sums - sums.mean()) * (falls - falls.mean())).mean()
    return covariance / (sums.std() * falls.std()), falls


def sensitivity(before, after):
    """Eq. 9 for one noisy copy, both attributions divided by their peaks."""
    before, after = before / np.abs(before).max(), after / np.abs(after).max()
    return np.sqrt(((before - after) ** 2).sum()) / np.sqrt((before**2).sum())


def complexity(attribution, threshold=0.1):
    """Eq. 10."""
    scaled = attribution / np.abs(attribution).max()
    return sum(abs(value) > threshold for value in scaled.ravel()) / scaled.size
