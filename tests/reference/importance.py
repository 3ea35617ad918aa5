"""Local importance as the formulas say it: one target, one region, one number at a time."""

import numpy as np


def matrix_entry(values, region, background, is_background):
    """Return every variable of one target ``e`` [C, X, Y, Z] and one region ``R`` [X, Y, Z]."""
    e = np.asarray(values, np.float64)
    R = np.asarray(region, bool)
    n = int(R.sum())
    names = "mass mass_positive mass_negative signed mean concentration variance mass_without_background"
    if n == 0:
        return dict.fromkeys(names.split(), np.nan)
    norm = np.abs(e).sum()
    inside = e[:, R]
    positive, negative = e[e > 0].sum(), -e[e < 0].sum()
    mass = quotient(np.abs(inside).sum(), norm)
    outside = norm if background is None else np.abs(e[:, ~background]).sum()
    return {
        "mass": mass,
        "mass_positive": quotient(inside[inside > 0].sum(), positive),
        "mass_negative": quotient(-inside[inside < 0].sum(), negative),
        "signed": quotient(inside.sum(), norm),
        "mean": np.abs(inside).sum() / n,
        "concentration": mass / (n / R.size),
        "variance": inside.sum(axis=0).var(),
        "mass_without_background": np.nan if is_background else quotient(np.abs(inside).sum(), outside),
    }


def quotient(a, b):
    return a / b if b != 0 else np.nan
