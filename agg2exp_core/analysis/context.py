"""How much of a class's attribution lies in the class itself, and where the rest lies (Fig. 3, 6, 13)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from agg2exp_core.errors import UsageError

_QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1.0}


def own_mass(local: xr.Dataset, variable: str = "mass") -> xr.DataArray:
    """Return the entries ``[a, a]`` of a variable (scan, target).

    Raises
    ------
    UsageError
        If the variable is not there, or a class is no region.
    """
    values = _variable(local, variable)
    missing = sorted(set(local["target"].values.tolist()) - set(local["roi"].values.tolist()))
    if missing:
        raise UsageError(
            "classes",
            got=f"{missing[0]}, which is no region",
            allowed="matrices whose regions include the explained classes",
            remedy="reduce the attributions over a prediction",
        )
    names = local["target"].values
    own = np.stack([values.sel(target=name, roi=name).values for name in names], axis=1)
    return xr.DataArray(own, {"scan": local["scan"].values, "target": names}, ("scan", "target"))


def describe(local: xr.Dataset, variable: str = "mass") -> pd.DataFrame:
    """Return the distribution of every entry over scans.

    Returns
    -------
    DataFrame
        A row per entry, each class's largest median first: `class`, `roi`, `own` (whether it is the class
        itself), `n`, `mean`, `sd`, `min`, `q25`, `median`, `q75`, `max`.
    """
    values = _variable(local, variable)
    rows = []
    for target in values["target"].values:
        for roi in values["roi"].values:
            x = values.sel(target=target, roi=roi).values
            x = x[np.isfinite(x)]
            row = {"class": str(target), "roi": str(roi), "own": target == roi, "n": len(x)}
            if len(x):
                row |= {"mean": x.mean(), "sd": x.std(ddof=1) if len(x) > 1 else np.nan}
                row |= dict(zip(_QUANTILES, np.quantile(x, list(_QUANTILES.values())), strict=True))
            rows.append(row)
    columns = ["class", "roi", "own", "n", "mean", "sd", *_QUANTILES]
    frame = pd.DataFrame(rows, columns=columns)
    place = {str(name): n for n, name in enumerate(values["target"].values)}
    return frame.sort_values(
        ["class", "median", "roi"],
        ascending=[True, False, True],
        key=lambda column: column.map(place) if column.name == "class" else column,
        ignore_index=True,
    )


def _variable(local: xr.Dataset, variable: str) -> xr.DataArray:
    if variable not in local or set(local[variable].dims) != {"scan", "target", "roi"}:
        raise UsageError(
            "variable",
            got=repr(variable),
            allowed=", ".join(str(n) for n, v in local.data_vars.items() if v.ndim == 3),
            remedy="name one of these",
        )
    return local[variable].transpose("scan", "target", "roi").sortby("scan")
