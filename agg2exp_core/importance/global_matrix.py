"""Global importance: what the matrices of many scans have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import compute
from dask.delayed import delayed
from numpy.typing import NDArray

from agg2exp_core.errors import UsageError, unknown_name
from agg2exp_core.importance.combining import combined
from agg2exp_core.importance.sums import quotient
from agg2exp_core.random import random_bits

STATISTICS = ("mean", "sd", "sem", "n", "median", "q25", "q75", "ci_low", "ci_high")
_LEVEL = 0.95
"""Of the bootstrap interval."""
_BLOCK_SCANS = 1024
"""Scans that are summed up together."""
PASS_BYTES = 2**28
"""Of a variable that a pass over the scans holds: quantiles need all scans of an entry at once."""


def stack_scans(
    locals_: Mapping[str, xr.Dataset],
    targets: Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> xr.Dataset:
    """Return the matrices of several scans as one data set.

    Parameters
    ----------
    locals_ : mapping of str to Dataset with dimensions (target, roi)
        By scan id, as `local_importance` returns them.
    targets : sequence of str, optional
        Names of the targets of the result, in order.
    kinds : mapping of str to str, optional
        Kinds of the regions of the result by name, in order.

    Returns
    -------
    Dataset with dimensions (scan, target, roi)
        Targets and regions, where not given, in the order of their first appearance; what a scan does not
        have is NaN, and a region that it does not have has 0 voxels there.

    Raises
    ------
    UsageError
        If there is no scan, or one region has different kinds.
    """
    if not locals_:
        raise _no_scan()
    if targets is None or kinds is None:
        targets, kinds = names_of(locals_)
    first = next(iter(locals_.values()))
    sizes = {"scan": len(locals_), "target": len(targets), "roi": len(kinds)}
    places = {
        "target": {name: n for n, name in enumerate(targets)},
        "roi": {n: i for i, n in enumerate(kinds)},
    }
    fields = {}
    for name, field in first.data_vars.items():
        shape = tuple(sizes[str(dim)] for dim in ("scan", *field.dims))
        fields[name] = np.full(shape, np.nan if field.dtype.kind == "f" else 0, field.dtype)
    for n, local in enumerate(locals_.values()):
        index = {dim: [of[name] for name in local[dim].values.tolist()] for dim, of in places.items()}
        for name, values in fields.items():
            values[n][np.ix_(*(index[str(dim)] for dim in first[name].dims))] = local[name].values
    return xr.Dataset(
        {name: (("scan", *first[name].dims), values) for name, values in fields.items()},
        {
            "scan": np.array(list(locals_), dtype=str),
            "target": np.array(list(targets), dtype=str),
            "roi": np.array(list(kinds), dtype=str),
            "roi_kind": ("roi", np.array(list(kinds.values()), dtype=str)),
        },
    )


def names_of(
    locals_: Mapping[str, xr.Dataset], targets: Sequence[str] = (), kinds: Mapping[str, str] | None = None
) -> tuple[list[str], dict[str, str]]:
    """Return targets, and regions with their kinds: those given, then others as they first appear.

    Raises
    ------
    UsageError
        If one region has different kinds.
    """
    names, of = dict.fromkeys(targets), dict(kinds or {})
    for scan_id, local in locals_.items():
        names |= dict.fromkeys(local["target"].values.tolist())
        for roi, kind in zip(local["roi"].values.tolist(), local["roi_kind"].values.tolist(), strict=True):
            if of.setdefault(roi, kind) != kind:
                raise UsageError(
                    f"RoI {roi} of scan {scan_id}",
                    got=f"the kind {kind!r}",
                    allowed=f"{of[roi]!r}, as in the scans before",
                    remedy="rename one of the two",
                )
    return list(names), of


def global_importance(
    locals_: Sequence[xr.Dataset] | xr.Dataset,
    variable: str = "mass",
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """Summarise a variable of the local matrices over scans, in passes of bounded memory.

    Scans in which a class or a region is absent (NaN) do not count for its entries.

    Parameters
    ----------
    locals_ : sequence of Dataset (target, roi), or Dataset (scan, target, roi)
        The matrices of the scans. Of Dask arrays, blocks along `scan` are taken one by one, by Dask's current
        scheduler.
    variable : str
        Which of their variables.
    n_bootstrap : int
        Resamples of the scans, with replacement.
    seed : int
        Of the resampling.

    Returns
    -------
    Dataset with dimensions (target, roi)
        `mean`, `sd` (of the sample), `sem`, `n` (scans that count), `median`, `q25`, `q75`, and `ci_low`,
        `ci_high`: the 95% percentile interval of the mean. NaN where no scan counts; `sd` and `sem` are NaN
        where one does.

    Raises
    ------
    UsageError
        If there is no scan or no such variable.

    Notes
    -----
    How often a resample draws a scan follows from the seed and the id of the scan (its number in a sequence)
    alone, a Poisson number of mean 1. So the order of the scans, and how they are cut into blocks, change
    nothing.
    """
    stacked = (
        locals_
        if isinstance(locals_, xr.Dataset)
        else stack_scans(
            {str(n): local.drop_vars("scan", errors="ignore") for n, local in enumerate(locals_)}
        )
    )
    names = sorted(str(name) for name, field in stacked.data_vars.items() if "scan" in field.dims)
    if variable not in names:
        raise unknown_name("variable", variable, names)
    if not stacked.sizes["scan"]:
        raise _no_scan()
    field = stacked[variable].transpose("scan", ...)
    scans = [str(name) for name in stacked["scan"].values]
    statistics = _statistics(_blocks(field), scans, n_bootstrap, seed)
    return xr.Dataset(
        {name: (field.dims[1:], statistics[name].reshape(field.shape[1:])) for name in STATISTICS},
        {name: coord for name, coord in field.coords.items() if "scan" not in coord.dims},
        {"variable": variable, "n_scans": field.shape[0]},
    )


def _no_scan() -> UsageError:
    return UsageError("locals_", got="no scan", allowed="one or more", remedy="explain a scan first")


def _blocks(field: xr.DataArray) -> da.Array:
    """Return a variable ``[n_scans, n_entries]`` in blocks along the scans."""
    values = field.data
    if not isinstance(values, da.Array):
        values = da.from_array(values, chunks=(_BLOCK_SCANS, *field.shape[1:]))  # type: ignore[no-untyped-call]
    return values.reshape(field.shape[0], -1)  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class Moments:
    """What mean, spread and bootstrap need to know of some scans: mergeable, entry by entry.

    Parameters
    ----------
    n : ndarray of float64, shape [n_entries]
        Scans that count.
    mean, squares : ndarray of float64, shape [n_entries]
        Their mean, and the sum of squares of their distances from it; 0 where no scan counts.
    drawn, totals : ndarray of float64, shape [n_bootstrap, n_entries]
        For each resample, how many scans it draws that count, and the sum of their values.
    """

    n: NDArray[np.float64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]
    drawn: NDArray[np.float64]
    totals: NDArray[np.float64]

    @classmethod
    def of(
        cls, values: NDArray[np.floating[Any]], scans: Sequence[str], n_bootstrap: int, seed: int
    ) -> Moments:
        """Return those of a block ``[n_scans, n_entries]``."""
        values = np.asarray(values, np.float64)
        present = np.isfinite(values)
        known = np.where(present, values, 0.0)
        n = present.sum(axis=0).astype(np.float64)
        mean = known.sum(axis=0) / np.maximum(n, 1)
        squares = (np.where(present, values - mean, 0.0) ** 2).sum(axis=0)
        weights = bootstrap_weights(scans, n_bootstrap, seed)
        patterns, of_entry = np.unique(present, axis=1, return_inverse=True)  # few: a class is there or not
        drawn = (weights @ patterns.astype(np.float64))[:, of_entry.reshape(-1)]
        return cls(n, mean, squares, drawn, weights @ known)

    def __add__(self, other: Moments) -> Moments:
        n = self.n + other.n
        step, share = other.mean - self.mean, other.n / np.maximum(n, 1)
        return Moments(
            n,
            self.mean + step * share,
            self.squares + other.squares + step**2 * self.n * share,
            self.drawn + other.drawn,
            self.totals + other.totals,
        )

    def statistics(self) -> dict[str, NDArray[Any]]:
        """Return mean, spread and interval ``[n_entries]``, NaN where they are not defined."""
        sd = np.sqrt(quotient(self.squares, np.maximum(self.n - 1, 0)))
        means = quotient(self.totals, self.drawn)  # [n_bootstrap, n_entries]
        low, high = _quantiles(means, ((1 - _LEVEL) / 2, (1 + _LEVEL) / 2))
        return {
            "mean": np.where(self.n > 0, self.mean, np.nan),
            "sd": sd,
            "sem": quotient(sd, np.sqrt(self.n)),
            "n": self.n.astype(np.int64),
            "ci_low": low,
            "ci_high": high,
        }


def bootstrap_weights(scans: Sequence[str], n_bootstrap: int, seed: int) -> NDArray[np.float64]:
    """Return how often each resample draws each scan ``[n_bootstrap, n_scans]``.

    Independent Poisson numbers of mean 1, as functions of seed and scan id: the Poisson bootstrap (Hanley and
    MacGibbon 2006), which resamples without knowing how many scans there are.
    """
    weights = np.empty((len(scans), n_bootstrap))
    for row, scan in zip(weights, scans, strict=True):
        bits = random_bits((n_bootstrap + 1) // 2, "bootstrap", seed, scan).view(np.uint32)[:n_bootstrap]
        row[:] = np.searchsorted(_POISSON, bits, side="right")
    return weights.T


def _poisson() -> NDArray[np.uint32]:
    """Return 2^32 times the distribution function of Poisson(1) at 0, 1, 2, …, as far as it is below that."""
    terms = np.cumprod([np.exp(-1.0), *(1 / n for n in range(1, 12))])
    return np.floor(np.cumsum(terms) * 2.0**32).clip(max=2.0**32 - 1).astype(np.uint32)


_POISSON = _poisson()


def _quantiles(values: NDArray[np.floating[Any]], shares: Sequence[float]) -> NDArray[np.float64]:
    """Return quantiles over the first axis of what is there ``[n_shares, n_entries]``, NaN without any."""
    values = np.asarray(values, np.float64)
    found = np.full((len(shares), values.shape[1]), np.nan)
    some = np.isfinite(values).any(axis=0)
    found[:, some] = np.nanquantile(values[:, some], shares, axis=0)
    return found


def _in_order(blocks: Sequence[NDArray[Any]], order: NDArray[np.intp]) -> NDArray[Any]:
    return np.concatenate(blocks)[order]


def _statistics(
    values: da.Array, scans: Sequence[str], n_bootstrap: int, seed: int
) -> dict[str, NDArray[Any]]:
    """Return the statistics of each entry; as many entries in a pass as `PASS_BYTES` allow.

    Scans are taken in the order of their ids, so that the last digits do not tell in which they came.
    """
    n_scans, n_entries = values.shape
    width = max(PASS_BYTES // (8 * n_scans), 1)
    order = np.argsort(scans, kind="stable")
    ordered = [scans[n] for n in order]
    parts = []
    for first in range(0, n_entries, width):
        entries = values[:, first : first + width].rechunk({1: -1})
        whole = delayed(_in_order)(entries.to_delayed().ravel().tolist(), order)
        moments = combined(
            [
                delayed(Moments.of)(
                    whole[a : a + _BLOCK_SCANS], ordered[a : a + _BLOCK_SCANS], n_bootstrap, seed
                )
                for a in range(0, n_scans, _BLOCK_SCANS)
            ]
        )
        quartiles = delayed(_quantiles)(whole, (0.25, 0.5, 0.75))
        found, (q25, median, q75) = compute(moments, quartiles)  # type: ignore[no-untyped-call]
        parts.append({**found.statistics(), "median": median, "q25": q25, "q75": q75})
    if not parts:
        return dict.fromkeys(STATISTICS, np.zeros(0))
    return {name: np.concatenate([part[name] for part in parts]) for name in STATISTICS}
