"""The metrics of Eq. 8 to 10, read off their formulas, in float64."""

from itertools import pairwise

import numpy as np
import torch
from scipy.stats import pearsonr, spearmanr

from tests.reference.attributions import f, f_hat


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


def region_falls(model, image, labels, c, base=0.0):
    """The fall of class c when each region is removed."""
    clean = f_hat(model, image, image, c, "sum")
    falls = []
    for b in range(model.n_classes):
        removed = torch.where(torch.from_numpy(labels == b), torch.full_like(image, base), image)
        falls.append(float((clean - f_hat(model, removed, image, c, "sum")).detach()))
    return np.array(falls)


def region_correlations(mass, signed, falls, kept):
    """Of mass and the size of the fall, and of signed share and fall; two regions say nothing."""
    if len(kept) < 3:
        kinds = ("pearson", "spearman", "signed_pearson", "signed_spearman")
        return dict.fromkeys(kinds, float("nan"))
    mass, signed, falls = mass[kept], signed[kept], falls[kept]
    pairs = {"": (mass, abs(falls)), "signed_": (signed, falls)}
    told = {}
    for sign, (x, y) in pairs.items():
        told[f"{sign}pearson"] = pearsonr(x, y).statistic
        told[f"{sign}spearman"] = spearmanr(x, y).statistic
    return told


def total_variation(p, q, kept):
    """Half the summed difference of two rows, each made to sum to 1."""
    p, q = [p[b] for b in kept], [q[b] for b in kept]
    return sum(abs(x / sum(p) - y / sum(q)) for x, y in zip(p, q, strict=True)) / 2


def area(model, image, c, groups, deleted, base=0.0):
    """Area under the output, as a share of its fall, while groups of voxels leave or return in turn."""
    blank = torch.full_like(image, base)
    full, empty = (float(f_hat(model, x, image, c, "sum").detach()) for x in (image, blank))
    shares, gone = [], torch.zeros(image.shape[1:], dtype=torch.bool)
    for group in [np.zeros(gone.shape, bool), *groups]:
        gone |= torch.from_numpy(group)
        x = torch.where(gone, blank, image) if deleted else torch.where(gone, image, blank)
        shares.append((float(f_hat(model, x, image, c, "sum").detach()) - empty) / (full - empty))
    return sum((a + b) / 2 for a, b in pairwise(shares)) / len(groups)


def likeness(model, other, image, labels, c):
    """Spearman correlations of two models' absolute gradients, and of what they sum to in the regions."""
    u = torch.from_numpy(labels == c)
    maps = []
    for of_model in (model, other):
        point = image.clone().requires_grad_()
        (gradient,) = torch.autograd.grad((f(of_model, point)[c] * u).sum(), point)
        maps.append(gradient[0].abs().numpy())
    rows = [[m[labels == b].sum() for b in np.unique(labels)] for m in maps]
    return spearmanr(*(m.ravel() for m in maps)).statistic, spearmanr(*rows).statistic
