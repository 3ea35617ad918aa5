"""How much of a class's attribution lies in the class itself, and what is normal (Fig. 3, 6, 13)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agg2exp_core.analysis.cohort import Cohort
from agg2exp_core.analysis.statistics import ratio
from agg2exp_core.labels import BACKGROUND

_QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}


def context(cohort: Cohort, name: str, background: str = BACKGROUND) -> pd.DataFrame:
    """Return how each class's attribution is shared out between itself, background and the rest.

    Parameters
    ----------
    cohort : Cohort
        The scans.
    name : str
        What the cohort is called in the table.
    background : str
        The region that is told apart, if there is one of this name.

    Returns
    -------
    DataFrame
        A row per scan and class that is a region and present in the scan: `cohort`, `scan`, `class`, `own`,
        `background`, `own_without_background` (the share in itself of what is not in background).
    """
    frames = []
    for a, target in enumerate(cohort.targets):
        if target not in cohort.rois:
            continue
        row = cohort.shares[:, a]  # [n_scans, n_rois]
        own = row[:, cohort.rois.index(target)]
        outer = row[:, cohort.rois.index(background)] if background in cohort.rois else np.zeros(len(row))
        inner = ratio(own, 1 - outer)
        columns = {"scan": cohort.scans, "class": target, "own": own, "background": outer}
        if target == background:
            inner = np.full(len(own), np.nan)
        frame = pd.DataFrame({"cohort": name, **columns, "own_without_background": inner})
        frames.append(frame[np.isfinite(own)])
    if not frames:
        return pd.DataFrame(
            columns=["cohort", "scan", "class", "own", "background", "own_without_background"]
        )
    return pd.concat(frames, ignore_index=True)


def normal_range(cohort: Cohort) -> pd.DataFrame:
    """Return the quantiles of every share over the scans of a cohort that have the class.

    Returns
    -------
    DataFrame
        A row per class and region: `class`, `roi`, `n`, `q05`, `q25`, `median`, `q75`, `q95`.
    """
    n_targets, n_rois = cohort.shares.shape[1:]
    present = np.isfinite(cohort.shares[:, :, 0]).sum(axis=0)  # [L]
    values = np.full((len(_QUANTILES), n_targets, n_rois), np.nan)
    some = present > 0
    values[:, some] = np.nanquantile(cohort.shares[:, some], list(_QUANTILES.values()), axis=0)
    return pd.DataFrame(
        {
            "class": np.repeat(cohort.targets, n_rois),
            "roi": np.tile(cohort.rois, n_targets),
            "n": np.repeat(present, n_rois),
            **{name: part.ravel() for name, part in zip(_QUANTILES, values, strict=True)},
        }
    )
