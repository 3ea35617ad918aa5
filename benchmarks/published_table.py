"""What the analyses say of the paper's published table: ``python -m benchmarks.published_table TABLE.csv``.

Three tables that stand beside the paper's text in docs/analyses.md: how much context each class uses (Fig. 6)
and where the rest of a row lies (Fig. 3, 4, 13); whether scores of abnormality agree with Dice (Table 2), by
the default detector and by the paper's, each scan scored by the others; and the Dice itself (Table 3).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import xarray as xr
from rich.console import Console
from rich.table import Table

from agg2exp_core.analysis import DEFAULT_DETECTOR, OutlierSettings, cohort_of, read_published
from agg2exp_core.analysis.agreement import MEANS, agreement
from agg2exp_core.analysis.clusters import cluster_classes
from agg2exp_core.analysis.context import context
from agg2exp_core.analysis.outliers import score_left_out
from agg2exp_core.labels import BACKGROUND, readable

PAPERS = "isolation_forest"
N_NEIGHBOURS = 3


def context_table(local: xr.Dataset) -> pd.DataFrame:
    """Return where each class's attribution lies, the one with the most context first, in percent.

    Returns
    -------
    DataFrame
        By class: medians over scans of the share in itself, with and without background, and divided by
        its share of the volume (a ratio, no percentage); the mean share in background; the place of the
        class itself among the regions other than background, and the three first, both by mean share.
    """
    by_class = context(cohort_of(local), "published").groupby("class")
    table = 100 * by_class[["own", "own_without_background"]].median()
    table["in_background"] = 100 * by_class["background"].mean()
    concentration = local["concentration"].median("scan")
    for name in table.index:
        table.loc[name, "own_over_volume"] = float(concentration.sel(target=name, roi=name))
    mean = local["mass_without_background"].mean("scan")
    for name in table.index:
        row = mean.sel(target=name).drop_sel(roi=BACKGROUND).to_series().sort_values(ascending=False)
        table.loc[name, "place_of_itself"] = list(row.index).index(name) + 1 if name in row.index else None
        nearest = [f"{readable(str(roi))} {100 * share:.0f}" for roi, share in row.items()]
        table.loc[name, "largest_without_background"] = ", ".join(nearest[:N_NEIGHBOURS])
    return table.sort_values("own")


def agreement_table(local: xr.Dataset, seed: int = 0) -> pd.DataFrame:
    """Return Spearman's correlation of score and Dice by class for two detectors, as of Table 2."""
    cohort, parts = cohort_of(local), {}
    for name in (DEFAULT_DETECTOR, PAPERS):
        scores = score_left_out(cohort, OutlierSettings(detector=name, seed=seed))["score"]
        parts[name] = agreement(scores, local["dice"]).set_index("class").drop(columns="n")
    ours, theirs = parts[DEFAULT_DETECTOR], parts[PAPERS]
    order = [*theirs.drop(index=MEANS).sort_values("p_value").index, MEANS]
    return ours.join(theirs, lsuffix=f" of {DEFAULT_DETECTOR}", rsuffix=f" of {PAPERS}").loc[order]


def dice_table(local: xr.Dataset) -> pd.DataFrame:
    """Return the mean Dice over the scans: over all classes, over the structures, and the lowest classes."""
    dice = 100 * local["dice"].mean("scan")
    inner = dice.drop_sel(target=BACKGROUND)
    lowest = inner.to_series().sort_values().head(N_NEIGHBOURS)
    whole = pd.Series({"17 classes": float(dice.mean()), "16 structures": float(inner.mean())})
    return pd.concat([whole, lowest]).to_frame("mean_dice")


def show(title: str, table: pd.DataFrame) -> None:
    """Print a table."""
    shown = Table("", *map(readable, map(str, table.columns)), title=title)
    for name, row in table.iterrows():
        cells = (f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row)
        shown.add_row(readable(str(name)), *cells)
    Console(width=150).print(shown)


def main() -> None:
    """Print the tables, and what they add up to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.published_table", description=__doc__)
    parser.add_argument("table", type=Path, help="the paper's table of local importances, CSV")
    local = read_published(parser.parse_args().table)
    show("Context: where the attribution of each class lies, percent", context_table(local))
    found = agreement_table(local)
    show("Score of abnormality and Dice: Spearman's rho", found)
    classes = found.drop(index=MEANS)
    for name in (DEFAULT_DETECTOR, PAPERS):
        raw, kept = ((classes[f"{p} of {name}"] < 0.05).sum() for p in ("p_value", "p_adjusted"))
        Console().print(f"{name}: {raw} classes with p < 0.05, {kept} after adjustment")
    show("Mean Dice over the scans, percent", dice_table(local))
    tree = cluster_classes(cohort_of(local).mean())
    Console().print(f"Dendrogram: {tree.linkage} linkage, correlation {tree.cophenetic[tree.linkage]:.2f}")


if __name__ == "__main__":
    main()
