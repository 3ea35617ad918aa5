"""Which scans a model handled abnormally, or with unusual uncertainty: flags at a stated rate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, field_validator

from agg2exp_core.analysis.cohort import Cohort, check_alike
from agg2exp_core.analysis.detectors import DEFAULT_DETECTOR, DETECTORS, Detector
from agg2exp_core.analysis.statistics import TooFewError, ratio
from agg2exp_core.errors import unknown_name
from agg2exp_core.settings import Count, Flag, Real, Settings

N_FOLDS = 20
"""Parts that are left out of the reference in turn; with fewer scans one scan each."""
_ROUNDING = 1e-9
"""Of 1 / rate: 1 / 0.05 is 20."""
LEAST_REFERENCE = 8
"""Reference scans that must have a class for it to be scored."""


class OutlierSettings(Settings):
    """How scans are scored.

    Raises
    ------
    UsageError
        If there is no such detector, or the rate is none.
    """

    detector: Annotated[str, Flag("--detector")] = DEFAULT_DETECTOR
    """Name of one of `DETECTORS`."""
    rate: Annotated[Real, Field(gt=0, lt=1), Flag("--rate")] = 0.05
    """Share of exchangeable scans that are flagged."""
    seed: Count = 0
    """Of the folds and of the forest."""

    @field_validator("detector")
    @classmethod
    def _known(cls, detector: str) -> str:
        if detector not in DETECTORS:
            raise unknown_name("--detector", detector, DETECTORS)
        return detector


def find_outliers(new: Cohort, reference: Cohort, settings: OutlierSettings) -> xr.Dataset:
    """Score new scans against a reference cohort (one detector a class; the scan's score is their mean).

    The p-values are cross-conformal: a new scan is compared with each reference scan by the detectors that
    were fitted without that one, ``p = (1 + n scores at least as high) / (n + 1)``. If the new scan is
    exchangeable with the reference, ``p <= rate`` happens at about `rate`.

    Parameters
    ----------
    new, reference : Cohort
        Of the same classes, without a scan in common.
    settings : OutlierSettings
        Detector, rate, seed.

    Returns
    -------
    Dataset with dimensions (scan, target)
        `score`, `p_value` (scan, target): NaN for absent classes and for those that too few reference
        scans have. `score_all`, `p_all`, `flagged` (scan): of the scan as a whole; it is flagged where
        ``p_all <= rate``. Scores grow with abnormality.

    Raises
    ------
    UsageError
        If the reference is too small for the rate, or of other classes.
    """
    check_alike(new, reference)
    n = len(reference.scans)
    _check_size("reference cohort", n, int(np.ceil(1 / settings.rate - _ROUNDING)) - 1, settings.rate)
    # from 1: the new scan counts as one of those that it is compared with
    at_least, counted = np.ones(_with_all(new.shares)), np.ones(_with_all(new.shares))
    for left_out, rest in _folds(n, settings.seed):
        rows = np.concatenate([reference.shares[left_out], new.shares])
        theirs, ours = np.split(_scores(rows, reference.shares[rest], settings), [len(left_out)])
        # [n_left_out, L + 1], [n_new, L + 1]
        at_least += (theirs[None] >= ours[:, None]).sum(axis=1)
        counted += np.isfinite(theirs).sum(axis=0)
    scores = _scores(new.shares, reference.shares, settings)
    return _dataset(new, scores, np.where(np.isfinite(scores), at_least / counted, np.nan), settings)


def score_left_out(cohort: Cohort, settings: OutlierSettings) -> xr.Dataset:
    """Score each scan of a cohort against the others, where there is no other reference.

    The p-value of a scan is the share of scans with a score at least as high, so that the share of flagged
    ones is `rate` by construction: they are the most abnormal ones, not proof of abnormality.

    Parameters
    ----------
    cohort : Cohort
        The scans.
    settings : OutlierSettings
        Detector, rate, seed.

    Returns
    -------
    Dataset with dimensions (scan, target)
        As `find_outliers` returns it.

    Raises
    ------
    UsageError
        If there are too few scans for the rate.
    """
    n = len(cohort.scans)
    _check_size("store", n, int(np.ceil(1 / settings.rate - _ROUNDING)), settings.rate)
    scores = np.full(_with_all(cohort.shares), np.nan)
    for one in range(n):
        rest = np.delete(np.arange(n), one)
        scores[one] = _scores(cohort.shares[[one]], cohort.shares[rest], settings)[0]
    at_least = (scores[None] >= scores[:, None]).sum(axis=1)
    p_values = np.where(np.isfinite(scores), ratio(at_least, np.isfinite(scores).sum(axis=0)), np.nan)
    return _dataset(cohort, scores, p_values, settings)


def find_uncertain(entropy: xr.DataArray, reference: xr.DataArray | None, rate: float) -> xr.Dataset:
    """Flag scans with an unusually uncertain prediction: its mean entropy beside those of a reference cohort.

    The p-value is conformal, ``p = (1 + n reference scans at least as uncertain) / (n + 1)``: if a scan is
    exchangeable with the reference, ``p <= rate`` happens at `rate` at most. Without a reference it is the
    share of scans at least as uncertain, so that the most uncertain are flagged, however certain they are.

    Parameters
    ----------
    entropy : DataArray with dimensions (scan, target)
        Mean entropy over the voxels of a class, in nats; NaN where it is absent or not known.
    reference : DataArray with dimensions (scan, target), optional
        The same of other scans by the same model.
    rate : float
        Share of exchangeable scans that are flagged, in (0, 1).

    Returns
    -------
    Dataset with dimension (scan)
        `entropy` (mean over the classes, nats), `p_entropy`, both NaN where nothing is known, and `unsure`.
    """
    ours = entropy.mean("target")
    others = (ours if reference is None else reference.mean("target")).dropna("scan")
    n_at_least = (others.rename(scan="other") >= ours).sum("other")
    n_added = 0 if reference is None else 1
    p_value = (n_added + n_at_least) / (n_added + others.sizes["scan"] or 1)
    p_value = p_value.where(ours.notnull() & (others.sizes["scan"] > 0))
    # as for outliers, rounding of the rate must not decide
    return xr.Dataset({"entropy": ours, "p_entropy": p_value, "unsure": p_value <= rate * (1 + 1e-12)})


def _scores(
    shares: NDArray[np.float64], reference: NDArray[np.float64], settings: OutlierSettings
) -> NDArray[np.float64]:
    """Return the score of each class, and last their mean ``[n_scans, L + 1]``."""
    detector: Detector = DETECTORS[settings.detector]
    scores = np.full(_with_all(shares), np.nan)
    for target in range(shares.shape[1]):
        rows, known = shares[:, target], reference[:, target]
        # the row of an absent class is NaN throughout
        present, known = np.isfinite(rows[:, 0]), known[np.isfinite(known[:, 0])]
        if present.any() and len(known) >= LEAST_REFERENCE - 1:
            scores[present, target] = detector(known, settings.seed)(rows[present])
    scored = np.isfinite(scores)
    scores[:, -1] = ratio(np.where(scored, scores, 0.0).sum(axis=1), scored.sum(axis=1))
    return scores


def _with_all(shares: NDArray[np.float64]) -> tuple[int, int]:
    return shares.shape[0], shares.shape[1] + 1


def _folds(n: int, seed: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield scans that are left out together, and the rest; each scan is left out once."""
    order = np.random.default_rng(seed).permutation(n)
    for part in np.array_split(order, min(n, N_FOLDS)):
        yield part, np.setdiff1d(order, part)


def _check_size(where: str, n: int, needed: int, rate: float) -> None:
    """Refuse so few scans that no p-value can be as small as the rate."""
    needed = max(LEAST_REFERENCE, needed)
    if n < needed:
        raise TooFewError(
            where,
            got=f"{n} scans",
            allowed=f"at least {needed} to flag scans at the rate {rate:g}",
            remedy="explain more scans, give a --reference, or raise --rate",
        )


def _dataset(
    cohort: Cohort, scores: NDArray[np.float64], p_values: NDArray[np.float64], settings: OutlierSettings
) -> xr.Dataset:
    return xr.Dataset(
        {
            "score": (("scan", "target"), scores[:, :-1]),
            "p_value": (("scan", "target"), p_values[:, :-1]),
            "score_all": ("scan", scores[:, -1]),
            "p_all": ("scan", p_values[:, -1]),
            "flagged": ("scan", p_values[:, -1] <= settings.rate + 1e-12),
        },
        {"scan": list(cohort.scans), "target": list(cohort.targets)},
        {"detector": settings.detector, "rate": settings.rate, "seed": settings.seed},
    )
