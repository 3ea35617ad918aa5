"""Draw the findings of a store: every picture from what is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import xarray as xr
from matplotlib.figure import Figure

from agg2exp_core.figures import (
    Cut,
    atlas,
    context_figure,
    cut,
    darken,
    dendrogram_figure,
    distributions,
    four_panels,
    heat_map,
    quality_figure,
    semantic_graph,
    signed,
    to_pdf,
    to_png,
    to_svg,
)
from agg2exp_core.importance import global_importance
from agg2exp_core.importance.interactions import global_interactions, sentences
from agg2exp_core.labels import BACKGROUND, readable
from agg2exp_core.pipeline.analyse import write_summary
from agg2exp_core.pipeline.cache import store_of
from agg2exp_core.pipeline.display import shown_rule, shown_voxels
from agg2exp_core.pipeline.evidence import read_table
from agg2exp_core.pipeline.interactions import stored_interactions
from agg2exp_core.pipeline.settings import AnalyseSettings
from agg2exp_core.store import Store, open_store

FOCUS = ("heart", "aorta")
"""Classes of the paper's own pictures: the first that a model has, else its first but background."""
N_EXTREMES = 3
Picture = tuple[str, str, str, Figure]
"""Name, caption, explanation, figure."""


@dataclass(frozen=True)
class Graph:
    """The semantic graph as people are shown it.

    Parameters
    ----------
    caption : str
        What it shows.
    png : bytes
        The picture.
    """

    caption: str
    png: bytes


def draw(settings: AnalyseSettings, summary: dict[str, Any]) -> tuple[dict[str, Any], Graph | None]:
    """Draw what the findings say; return the summary with the pictures among its files, and the graph."""
    store, folder = store_of(settings.store), settings.folder
    listed: list[dict[str, Any]] = []
    graph = None
    for name, caption, explanation, figure in _pictures(store, settings, summary):
        on_page = figure.get_facecolor()[:3] == (1.0, 1.0, 1.0)
        signed(figure, f"{settings.label}, {_of(store)}")
        files = {
            f"figures/{name}.png": to_png(figure),
            f"figures/{name}.svg": to_svg(figure),
            f"figures/{name}.pdf": to_pdf(figure),
        }
        if name == "graph":
            graph = Graph(caption, files[f"figures/{name}.png"])
        if on_page:
            dark = darken(figure)
            files |= {f"figures/{name}-dark.png": to_png(dark), f"figures/{name}-dark.svg": to_svg(dark)}
        for file, content in files.items():
            store.write_file(f"{folder}/{file}", content)
        listed.append({"name": name, "caption": caption, "explanation": explanation, "files": list(files)})
    store.write_file(f"{folder}/figures.json", json.dumps(listed, indent=2).encode())
    drawn = [file for picture in listed for file in picture["files"]]
    named = sorted({*summary["files"], "figures.json", *drawn})
    left_out = _not_drawn(store, settings.label, {picture["name"] for picture in listed})
    summary = summary | {"files": named, "skipped": summary["skipped"] | left_out}
    write_summary(store, folder, summary)
    return summary, graph


def _of(store: Store) -> str:
    """Return in words which model and cohort pictures are of."""
    model = f"model {store.model['name']}" if store.model else "of an imported table"
    return f"{model}, store {store.uri.rstrip('/').rpartition('/')[2]}"


def _not_drawn(store: Store, label: str, drawn: set[str]) -> dict[str, str]:
    """Return why pictures of voxels are missing."""
    has_voxels = any(store.scan(scan).units(label) for scan in store.scans())
    few = (
        f"fewer than {2 * N_EXTREMES} scans have a score, or none of them voxels"
        if has_voxels
        else "no scan has voxels"
    )
    return {
        name: reason
        for name, reason in {"atlas": "no scan has voxels", "extremes": few}.items()
        if name not in drawn
    }


def _pictures(store: Store, settings: AnalyseSettings, summary: dict[str, Any]) -> Iterator[Picture]:
    local, overall = store.importance(settings.label), store.global_importance(settings.label)
    yield from _of_matrices(local, overall["mean"])
    yield from _of_interactions(store, settings.label)
    yield from _of_findings(store, settings, summary)
    if settings.reference is not None:
        other = open_store(settings.reference).global_importance(settings.label)["mean"]
        text = "The three largest contributions to each class, in the reference."
        yield "graph_reference", "Semantic graph of the reference", text, _graph(other, "reference")
    is_scored = "scans.csv" in summary["files"]
    scored = read_table(store, settings.folder, "scans")["scan"].tolist() if is_scored else []
    explained = [str(name) for name in local["target"].values]
    yield from _of_voxels(store, settings.label, explained, scored)


def _of_matrices(local: xr.Dataset, mean: xr.DataArray) -> Iterator[Picture]:
    n = local.sizes["scan"]
    text = "A row explains one class; its cells say in which regions the attribution lies."
    yield "matrix", "Global matrix", text, heat_map(mean, title=f"Global matrix, mean over {n} scans")
    for variable, caption in (
        ("mass_without_background", "Global matrix without background"),
        ("concentration", "Global matrix, corrected for size"),
        ("signed", "Global matrix, signed"),
    ):
        if variable in local:
            values = global_importance(local, variable, n_bootstrap=1)["mean"]
            if variable == "concentration":
                values.attrs = {"units": "times its share of the volume", "long_name": "concentration"}
            figure = heat_map(values, title=f"{caption}, mean over {n} scans", signed=variable == "signed")
            yield f"matrix_{variable}", caption, text, figure
    text = "An arrow leads from a region to a class whose attribution lies in it; background is left out."
    yield "graph", "Semantic graph", text, _graph(mean, f"mean over {n} scans")
    names = [str(name) for name in local["target"].values if name != BACKGROUND]
    row = "mass_without_background" if "mass_without_background" in local else "mass"
    for name in names:
        if bool(local[row].sel(target=name).notnull().any()):
            caption = f"What explains {readable(name)}"
            text = "A box per region, a dot per scan, shares without background."
            yield f"row_{name}", caption, text, distributions(local, name, variable=row, title=caption)
    focus = focus_of(names)
    if focus is not None:
        caption = f"From one scan to the cohort: {readable(focus)}"
        text = "One scan, all scans, the neighbours' histograms, the graph."
        first = str(local["scan"].values[0])
        figure = four_panels(local, mean, focus, scan=first, variable=row, title=caption)
        yield "panels", caption, text, figure


def _of_interactions(store: Store, label: str) -> Iterator[Picture]:
    """Yield which regions act together, class by class, where the method tells it."""
    scans = stored_interactions(store, label)
    if not scans:
        return
    mean = global_interactions(scans)["mean"]
    mean.attrs = {"units": "share", "long_name": "interaction"}
    for name in map(str, mean["target"].values):
        of_class = mean.sel(target=name, drop=True).rename(other="target").transpose("target", "roi")
        told = sentences(mean, name)
        if told:
            caption = f"What acts together for {readable(name)}, mean over {len(scans)} scans"
            text = f"{'; '.join(told)}. Red: more together than apart; blue: one stands in for the other."
            yield f"interactions_{name}", caption, text, heat_map(of_class, title=caption, signed=True)


def _of_findings(store: Store, settings: AnalyseSettings, summary: dict[str, Any]) -> Iterator[Picture]:
    folder, files = settings.folder, summary["files"]
    caption = "How much context each class uses"
    text = "The share of a class's attribution in the class itself, class by class; the rest is context."
    table = read_table(store, folder, "context")
    yield "context", caption, text, context_figure(table, title=caption)
    if "agreement.csv" in files:
        caption = "Outlier score and quality of the segmentation"
        text = "A dot per scan: Dice over outlier score, the means first, then class by class."
        tables = (read_table(store, folder, name) for name in ("quality", "agreement"))
        yield "quality", caption, text, quality_figure(*tables, title=caption)
    if "clusters.json" in files:
        caption = "Classes that are explained alike"
        text = "Classes whose rows of the global matrix are alike join early."
        clusters = json.loads(store.read_file(f"{folder}/clusters.json"))
        yield "dendrogram", caption, text, dendrogram_figure(clusters, title=caption)


def _of_voxels(store: Store, label: str, explained: list[str], scored: list[str]) -> Iterator[Picture]:
    """Yield an atlas of a scan, and the scans with the highest and lowest scores, where voxels are kept."""
    stored = store.scans()
    ranked = [scan for scan in scored or stored if scan in stored and store.scan(scan).units(label)]
    if not ranked:
        return
    units = store.scan(ranked[0]).units(label)
    classes = [name for name in explained if name in units and name != BACKGROUND]
    text = (
        f"Axial, coronal and sagittal slice with most of the class. Shown is {shown_rule(store, label)}: "
        "red raises the class, blue lowers it; the prediction is outlined in green. "
        "Colours end at the 99th percentile of what is shown. The patient's right is on the left."
    )
    caption = f"All classes of {ranked[0]}"
    rows = [(readable(name), _cut(store, label, ranked[0], name)) for name in classes]
    if rows:
        yield "atlas", caption, text, atlas(rows, title=caption, explanation=text, n_columns=2)
    focus = focus_of(classes)
    if focus is None or len(scored) < 2 * N_EXTREMES:
        return
    chosen = [(scan, "highest") for scan in scored[:N_EXTREMES]]
    chosen += [(scan, "lowest") for scan in scored[-N_EXTREMES:]]
    caption = f"The most and the least abnormal scans: {readable(focus)}"
    rows = [
        (f"{scan}, among the {which} scores", _cut(store, label, scan, focus))
        for scan, which in chosen
        if scan in ranked and focus in store.scan(scan).units(label)
    ]
    if rows:
        yield "extremes", caption, text, atlas(rows, title=caption, explanation=text)


def _cut(store: Store, label: str, scan_id: str, name: str) -> Cut:
    scan_store = store.scan(scan_id)
    scan, prediction = scan_store.image(), scan_store.prediction()
    assert prediction is not None
    values, percentile = shown_voxels(store, scan_store, label, name, prediction)
    image, mask = scan.image[0].numpy(), prediction.mask(name)
    return cut(image, values, mask, scan.affine, percentile=percentile)


def focus_of(names: list[str]) -> str | None:
    """Return the class that stands for all."""
    return next((name for name in (*FOCUS, *names) if name in names), None)


def _graph(mean: xr.DataArray, title: str) -> Figure:
    return semantic_graph(mean, title=f"The three largest contributions to each class, {title}")
