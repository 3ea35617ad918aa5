"""The paper's published table of local importances, as the data sets that the project makes."""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from agg2exp_core.labels import THORAX_CLASSES


def published_local(folder: Path) -> xr.Dataset:
    """Return mass and mean ``(scan, target, roi)`` of the 32 published scans."""
    (path,) = (folder / "paper").glob("*.csv")
    table = pd.read_csv(path, dtype={"patient": str})

    def cube(variable: str) -> np.ndarray:
        columns = [f"{a}_explanation_in_{b}_{variable}" for a in THORAX_CLASSES for b in THORAX_CLASSES]
        return table[columns].to_numpy().reshape(len(table), len(THORAX_CLASSES), len(THORAX_CLASSES))

    dims = ("scan", "target", "roi")
    local = xr.Dataset(
        {"mass": (dims, cube("mass")), "mean": (dims, cube("mean"))},
        coords={
            "scan": table["patient"].to_numpy(str),
            "target": list(THORAX_CLASSES),
            "roi": list(THORAX_CLASSES),
            "roi_kind": ("roi", ["class"] * len(THORAX_CLASSES)),
        },
    )
    inner = local["mass"].where(local["roi"] != "background")
    return local.assign(mass_without_background=inner / inner.sum("roi"))


def over_scans(local: xr.Dataset, variable: str = "mass") -> xr.Dataset:
    """Return the global data set of one variable; intervals are those of a normal mean."""
    values = local[variable]
    n = values.count("scan")
    mean, sd = values.mean("scan"), values.std("scan", ddof=1)
    sem = sd / np.sqrt(n)
    q25, median, q75 = (values.quantile(q, "scan").drop_vars("quantile") for q in (0.25, 0.5, 0.75))
    parts = {"mean": mean, "sd": sd, "sem": sem, "n": n, "median": median, "q25": q25, "q75": q75}
    return xr.Dataset({**parts, "ci_low": mean - 1.96 * sem, "ci_high": mean + 1.96 * sem})
