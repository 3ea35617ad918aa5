"""Global importance: what the matrices of many scans have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from agg2exp_core.errors import UsageError, unknown_name
from agg2exp_core.importance.sums import quotient

_LEVEL = 0.95
"""Of the bootstrap interval."""


def stack_scans(locals_: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return the matrices of several scans as one data set.

    Parameters
    ----------
    locals_ : mapping of str to Dataset with dimensions (target, roi)
        By scan id, as `local_importance` returns them.

    Returns
    -------
    Dataset with dimensions (scan, target, roi)
        Targets and regions in the order of their first appearance; what a scan does not have is NaN, and a
        region that it does not have has 0 voxels there.

    Raises
    ------
    UsageError
        If there is no scan, or one region has different kinds.
    """
    if not locals_:
        raise _no_scan()
    kinds: dict[str, str] = {}
    for scan_id, local in locals_.items():
        for roi, kind in zip(local["roi"].values, local["roi_kind"].values, strict=True):
            if kinds.setdefault(str(roi), str(kind)) != kind:
                raise UsageError(
                    f"RoI {roi} of scan {scan_id}",
                    got=f"the kind {kind!r}",
                    allowed=f"{kinds[str(roi)]!r}, as in the scans before",
                    remedy="rename one of the two",
                )
    targets = list(
        dict.fromkeys(name for local in locals_.values() for name in local["target"].values.tolist())
    )
    aligned = [
        local.drop_vars("roi_kind").reindex(target=targets, roi=list(kinds), fill_value={"n_voxels": 0})
        for local in locals_.values()
    ]
    stacked = xr.concat(aligned, dim="scan", join="exact", data_vars="all", combine_attrs="drop")
    return stacked.assign_coords(
        scan=np.array(list(locals_), dtype=str), roi_kind=("roi", np.array(list(kinds.values()), dtype=str))
    )


def global_importance(
    locals_: Sequence[xr.Dataset] | xr.Dataset,
    variable: str = "mass",
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> xr.Dataset:
    """Summarise a variable of the local matrices over scans.

    Scans in which a class or a region is absent (NaN) do not count for its entries.

    Parameters
    ----------
    locals_ : sequence of Dataset (target, roi), or Dataset (scan, target, roi)
        The matrices of the scans.
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
    shape = field.shape[1:]
    flat = field.values.astype(np.float64).reshape(field.shape[0], -1)  # [n_scans, n_entries]
    counted = np.isfinite(flat).sum(axis=0)
    statistics = {"n": counted, **_statistics(flat, counted)}
    statistics["ci_low"], statistics["ci_high"] = _bootstrap(flat, n_bootstrap, seed)
    order = ("mean", "sd", "sem", "n", "median", "q25", "q75", "ci_low", "ci_high")
    return xr.Dataset(
        {name: (field.dims[1:], statistics[name].reshape(shape)) for name in order},
        {name: coord for name, coord in field.coords.items() if "scan" not in coord.dims},
        {"variable": variable, "n_scans": field.shape[0]},
    )


def _no_scan() -> UsageError:
    return UsageError("locals_", got="no scan", allowed="one or more", remedy="explain a scan first")


def _statistics(flat: NDArray[np.float64], counted: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Return statistics over scans ``[n_entries]``, each computed only where it is defined."""
    some, several = counted > 0, counted > 1

    def where(defined: NDArray[np.bool_], values: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.full(defined.shape, np.nan)
        out[defined] = values
        return out

    sd = where(several, np.nanstd(flat[:, several], axis=0, ddof=1))
    q25, median, q75 = np.nanquantile(flat[:, some], [0.25, 0.5, 0.75], axis=0)
    return {
        "mean": where(some, np.nanmean(flat[:, some], axis=0)),
        "sd": sd,
        "sem": sd / np.sqrt(np.maximum(counted, 1)),
        "median": where(some, median),
        "q25": where(some, q25),
        "q75": where(some, q75),
    }


def _bootstrap(flat: NDArray[np.float64], n_bootstrap: int, seed: int) -> NDArray[np.float64]:
    """Return the percentile interval of the mean ``[2, n_entries]``; absent entries are drawn as absent."""
    n_scans, n_entries = flat.shape
    # how often each scan is drawn is all that a mean needs: one matrix product for all resamples
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(n_scans, np.full(n_scans, 1 / n_scans), size=n_bootstrap).astype(np.float64)
    present = np.isfinite(flat)
    n_drawn = drawn @ present.astype(np.float64)  # [n_bootstrap, n_entries]
    totals = drawn @ np.where(present, flat, 0.0)
    means = quotient(totals, n_drawn)
    interval = np.full((2, n_entries), np.nan)
    some = np.isfinite(means).any(axis=0)
    interval[:, some] = np.nanquantile(means[:, some], [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
    return interval
