"""Stage 5: figures, a report, and artifacts in the Prefect UI."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr
from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from agg2exp_core.figures import heat_map, overlay, semantic_graph, to_png
from agg2exp_core.report import ReportFigure, ScanLine, render_report
from agg2exp_core.store import Store
from tasks.resources import store_of
from tasks.retrying import RETRYING
from tasks.settings import RunSummary, artifact_key
from tasks.voxels import shown_rule, shown_voxels

N_OVERLAYS = 3
MOST_LETTERS = 120
"""Of the name of a picture."""
FAVOURITE = "aorta"
"""The class of the paper's own pictures."""


@task(name="publish", task_run_name="publish {summary.label}", **RETRYING)
def publish(summary: RunSummary) -> list[str]:
    """Draw the matrices, write ``report/index.html``, show both in the UI; return the files."""
    store = store_of(summary.store)
    _show_outcomes(summary)
    if not summary.n_cohort:
        return []
    label = summary.label
    local, overall = store.importance(label), store.global_importance(label)
    figures = {}
    for name, figure in _figures(store, summary, local, overall):
        store.write_file(f"report/{label}/{name}.png", figure.png)
        figures[name] = figure
    page = render_report(
        title=f"{label}: what the model relies on",
        summary=_facts(store, summary),
        global_importance=overall,
        local_importance=local,
        figures=list(figures.values()),
        scans=[_line(outcome) for outcome in summary.outcomes],
        provenance=_provenance(store, label),
    ).encode()
    for name in (f"report/{label}/index.html", "report/index.html"):
        store.write_file(name, page)
    _show_matrix(summary, overall, figures["heat_map"])
    return [f"report/{label}/index.html", *(f"report/{label}/{name}.png" for name in figures)]


def _figures(
    store: Store, summary: RunSummary, local: xr.Dataset, overall: xr.Dataset
) -> Iterator[tuple[str, ReportFigure]]:
    yield (
        "heat_map",
        ReportFigure(
            "Importance of each region for each class",
            to_png(heat_map(overall["mean"], title=_over_scans(summary.n_cohort))),
            "A row explains one class; its cells say in which regions the attribution lies. "
            "Rows sum to one over the model's own classes.",
        ),
    )
    yield (
        "semantic_graph",
        ReportFigure(
            "Which classes lean on which",
            to_png(semantic_graph(overall["mean"], title="The three largest contributions to each class")),
            "An arrow leads from a region to a class whose attribution lies in it; "
            "the background is left out.",
        ),
    )
    scan_id = next((o.scan_id for o in summary.outcomes if o.status == "done"), None)
    if scan_id is not None:
        yield from _overlays(store, summary.label, scan_id)


def _overlays(store: Store, label: str, scan_id: str) -> Iterator[tuple[str, ReportFigure]]:
    there = store.scan(scan_id)
    scan, prediction = there.image(), there.prediction()
    assert prediction is not None
    units = there.units(label)
    n_voxels = prediction.n_voxels
    by_size = sorted((name for name in units if n_voxels[name]), key=lambda name: -n_voxels[name])
    inner = [name for name in by_size if name != prediction.class_names[0]]
    chosen = sorted(inner, key=lambda name: name != FAVOURITE)[:N_OVERLAYS]
    for name in chosen:
        values, percentile = shown_voxels(store, there, label, name, prediction)
        figure = overlay(
            scan.image[0].numpy(),
            values,
            prediction.mask(name),
            title=f"{scan_id}: why {name.replace('_', ' ')}?",
            affine=scan.affine,
            percentile=percentile,
        )
        yield (
            f"overlay_{scan_id}_{name.replace(' ', '_')}"[:MOST_LETTERS],
            ReportFigure(
                f"{scan_id}: {name.replace('_', ' ')}",
                to_png(figure),
                f"Shown is {shown_rule(store, label)}; the prediction is outlined in yellow.",
            ),
        )


def _facts(store: Store, summary: RunSummary) -> Mapping[str, str]:
    model = store.model or {}
    recipe = store.labels()[summary.label]
    settings = ", ".join(f"{name} = {value}" for name, value in recipe.params.items())
    return {
        "Model": str(model.get("name")),
        "Method": f"{recipe.method} ({settings})",
        "Scans in the matrices": str(summary.n_cohort),
        "Scans in this run": f"{len(summary.outcomes)}, of which {summary.n_done} explained",
    }


def _provenance(store: Store, label: str) -> Mapping[str, str]:
    model = store.model or {}
    recipe = store.labels()[label]
    return {
        "agg2exp": version("agg2exp"),
        "torch": version("torch"),
        "MONAI": version("monai"),
        "Model fingerprint": str(model.get("fingerprint")),
        "Windows": str(model.get("windows")),
        "Preprocessing": str(model.get("preprocessing")),
        "Method": recipe.method,
        "Parameters": str(dict(recipe.params)),
    }


def _line(outcome: Any) -> ScanLine:
    return ScanLine(outcome.scan_id, outcome.status, outcome.reason, outcome.n_classes, outcome.seconds)


def _show_outcomes(summary: RunSummary) -> None:
    create_table_artifact(
        key=artifact_key("scans", summary.label),
        description=f"{summary.label}: {summary.n_done} of {len(summary.outcomes)} scans explained",
        table=[
            {
                "scan": outcome.scan_id,
                "status": outcome.status,
                "classes": outcome.n_classes,
                "computed": outcome.n_computed,
                "kept": outcome.n_kept,
                "seconds": round(outcome.seconds, 1),
                "reason": outcome.reason,
            }
            for outcome in summary.outcomes
        ],
    )


def _show_matrix(summary: RunSummary, overall: xr.Dataset, picture: ReportFigure) -> None:
    mean = overall["mean"]
    create_table_artifact(
        key=artifact_key("matrix", summary.label),
        description=f"{summary.label}: mean importance of regions (columns) for classes (rows)",
        table=[
            {"class": str(target)}
            | {str(roi): _number(float(mean.sel(target=target, roi=roi))) for roi in mean["roi"].values}
            for target in mean["target"].values
        ],
    )
    image = base64.b64encode(picture.png).decode()
    create_markdown_artifact(
        key=artifact_key("heat-map", summary.label),
        description=f"{summary.label}: importance of regions for classes",
        markdown=f"# {picture.caption}\n\n![{picture.caption}](data:image/png;base64,{image})\n\n"
        f"{picture.explanation} {_over_scans(summary.n_cohort)}.",
    )


def _number(value: float) -> float | str:
    return round(value, 4) if np.isfinite(value) else "absent"


def _over_scans(n: int) -> str:
    return "One scan" if n == 1 else f"Mean over {n} scans"
