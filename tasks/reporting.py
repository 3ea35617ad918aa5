"""From a store to a folder of static pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import xarray as xr

from agg2exp_core.errors import UsageError
from agg2exp_core.figures import semantic_graph, to_png
from agg2exp_core.report.analyses import Analyses
from agg2exp_core.report.content import flatten
from agg2exp_core.report.findings import (
    benchmark_section,
    drift_section,
    patients_section,
    pictures_section,
    quality_section,
    scans_section,
    unusual_section,
)
from agg2exp_core.report.folder import Link, Page, ReportFolder
from agg2exp_core.report.matrices import context_of, context_section, glance_section, matrix_section
from agg2exp_core.report.scan_sections import normal_range
from agg2exp_core.report.sections import Column, DataTable, Picture, Section
from agg2exp_core.store import Store
from tasks.report_reading import analyses_of, analysis_pictures, benchmark_of
from tasks.report_scan import Beside, scan_page

VOLUMES = ("all", "flagged", "none")
Listener = Callable[[str, float], None]


def write_report(
    store: Store,
    labels: Sequence[str],
    out: Path,
    *,
    volumes: str = "all",
    listen: Listener = lambda *_: None,
) -> int:
    """Write the report of a store; return the number of pages.

    Parameters
    ----------
    store : Store
    labels : sequence of str
        Results to show; the first one's cohort page is ``index.html``.
    out : Path
        Folder: new, empty, or an earlier report, which is replaced.
    volumes : {"all", "flagged", "none"}
        Scans whose voxels are shown: a viewer takes about 10 to 20 MB a scan.
    listen : callable
        Told the page at hand, and the share that is done.

    Raises
    ------
    UsageError
        If the folder holds something else, `volumes` is something else, or the extra ``report`` is not
        installed.
    StoreError
        If the store holds no matrices of a label.
    """
    if volumes not in VOLUMES:
        raise UsageError("--volumes", got=repr(volumes), allowed=", ".join(VOLUMES), remedy="pick one")
    matrices = {label: store.importance(label) for label in labels}
    n_pages = sum(1 + local.sizes["scan"] for local in matrices.values())
    n_done = 0
    addresses = {label: f"{label}/index.html" if i else "index.html" for i, label in enumerate(labels)}
    with ReportFolder(out) as folder:
        for label, local in matrices.items():
            analyses = analyses_of(store, label)
            beside = _beside(label, local, analyses)
            pages, back = {}, Link(f"All scans, {label}", addresses[label])
            shown = _with_volumes(volumes, analyses, list(map(str, local["scan"].values)))
            for scan_id in map(str, local["scan"].values):
                listen(f"{label}: {scan_id}", n_done / n_pages)
                pages[scan_id] = f"{label}/scans/{scan_id}.html"
                page = scan_page(
                    folder,
                    store,
                    scan_id,
                    local.sel(scan=scan_id),
                    beside,
                    [back, Link(scan_id, pages[scan_id], is_here=True)],
                    scan_id in shown,
                )
                folder.write_page(pages[scan_id], page)
                n_done += 1
            listen(f"{label}: all scans", n_done / n_pages)
            links = [Link(name, address, name == label) for name, address in addresses.items()]
            folder.write_page(
                addresses[label], _cohort_page(folder, store, label, local, analyses, pages, links)
            )
            n_done += 1
    return n_pages


def _beside(label: str, local: xr.Dataset, analyses: Analyses) -> Beside:
    normal = analyses.table("normal")
    n_reference = analyses.summary.get("n_reference")
    if normal is not None and n_reference:
        return Beside(label, normal, f"{n_reference} scans of the reference", analyses)
    source = f"the {local.sizes['scan']} scans of the store"
    return Beside(label, normal_range(local) if normal is None else normal, source, analyses)


def _with_volumes(volumes: str, analyses: Analyses, scan_ids: Sequence[str]) -> set[str]:
    if volumes == "flagged":
        scans = analyses.table("scans")
        return set() if scans is None else set(scans.loc[scans["flagged"] | scans["unsure"], "scan"])
    return set(scan_ids) if volumes == "all" else set()


def _cohort_page(
    folder: ReportFolder,
    store: Store,
    label: str,
    local: xr.Dataset,
    analyses: Analyses,
    pages: Mapping[str, str],
    links: Sequence[Link],
) -> Page:
    context = analyses.table("context")
    pictures = analysis_pictures(store, label, analyses, folder)
    failures = {scan: failure.reason for scan, failure in store.failures().items()}
    sections = [
        scans_section(list(pages), failures, analyses, pages),
        unusual_section(analyses, pages),
        matrix_section(local),
        glance_section(local, [_graph(folder, label, local)]),
        context_section(context_of(local) if context is None else context),
        drift_section(analyses),
        quality_section(analyses),
        patients_section(analyses),
        benchmark_section(benchmark_of(store)),
        pictures_section(pictures, analyses),
        _provenance(store, label),
    ]
    model = store.model or {}
    facts = {
        "Model": str(model.get("name", "not known")),
        "Method": label,
        "Scans": str(len(pages)),
        "Classes": str(local.sizes["target"]),
    }
    return Page(f"{label}: what the model relies on", facts, links, sections)


def _graph(folder: ReportFolder, label: str, local: xr.Dataset) -> Picture:
    mean = local["mass"].mean("scan")
    figure = semantic_graph(mean, title="The three largest contributions to each class")
    address = folder.write(f"{label}/pictures/semantic_graph.png", to_png(figure))
    return Picture(
        address,
        "Graph of the three largest contributions to each class",
        "An arrow leads from a region to a class whose attribution lies in it; background is left out. "
        "The table below names the largest.",
    )


def _provenance(store: Store, label: str) -> Section:
    model, recipe = store.model or {}, store.labels().get(label)
    told = {"agg2exp": version("agg2exp"), "model": model}
    if recipe is not None:
        told |= {"method": recipe.method, "parameters": dict(recipe.params)}
    rows = pd.DataFrame(flatten(told), columns=["name", "value"])
    columns = [Column("name", "Name"), Column("value", "Value")]
    return Section(
        "provenance", "Provenance", tables=[DataTable("What these results depend on", columns, rows)]
    )
