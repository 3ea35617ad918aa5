"""From a store to a report: the page of a cohort, alone or with a page for each of its scans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from agg2exp_core.analysis import cohort_of
from agg2exp_core.analysis.context import context
from agg2exp_core.errors import unknown_name
from agg2exp_core.figures import heat_map, semantic_graph
from agg2exp_core.pipeline.outcomes import RunSummary
from agg2exp_core.remarks import sentence
from agg2exp_core.report.context import context_section, glance_section
from agg2exp_core.report.findings import (
    benchmark_section,
    drift_section,
    patients_section,
    pictures_section,
    quality_section,
)
from agg2exp_core.report.inputs import Analyses, analyses_of, analysis_pictures, benchmark_of
from agg2exp_core.report.matrices import VARIABLES as SHOWN
from agg2exp_core.report.matrices import matrix_section
from agg2exp_core.report.output import Output, ReportFolder, StoreReport
from agg2exp_core.report.overlays import largest_classes, overlay_pictures, voxels_of
from agg2exp_core.report.scan_page import Beside, scan_page
from agg2exp_core.report.scan_sections import range_over_scans
from agg2exp_core.report.scans import (
    MOST_SCANS,
    first_section,
    scans_section,
    triage_section,
    unusual_section,
    wanted_scans,
)
from agg2exp_core.report.sections import Column, DataTable, Link, Page, Picture, Section, gathered
from agg2exp_core.store import Label, Store

VOLUMES = ("all", "flagged", "none")
N_OVERLAYS = 3
"""Classes of a scan of the run that its page shows."""
Listener = Callable[[str, float], None]


def write_report(
    store: Store,
    labels: Sequence[str],
    out: Path,
    *,
    volumes: str = "all",
    scans: Sequence[str] = (),
    listen: Listener = lambda *_: None,
) -> int:
    """Write the report of a store into a folder; return the number of pages.

    Parameters
    ----------
    store : Store
    labels : sequence of str
        Results to show; the first one's cohort page is ``index.html``.
    out : Path
        Folder: new, empty, or an earlier report, which is replaced.
    volumes : {"all", "flagged", "none"}
        Scans whose voxels are shown: a viewer takes about 10 to 20 MB a scan.
    scans : sequence of str
        Scans that get a page in any case. Of more than `MOST_SCANS` only these do, and those that are
        abnormal, unsure or new.
    listen : callable
        Told the page at hand, and the share that is done.

    Raises
    ------
    UsageError
        If the folder holds something else, `volumes` is something else, or a scan is not there.
    StoreError
        If the store holds no matrices of a label.
    """
    if volumes not in VOLUMES:
        raise unknown_name("--volumes", volumes, VOLUMES)
    matrices = {label: store.importance(label, SHOWN) for label in labels}
    found = {label: analyses_of(store, label) for label in labels}
    with_page = {label: _with_page(local, found[label], scans) for label, local in matrices.items()}
    for scan_id in set(scans) - {scan_id for ids in with_page.values() for scan_id in ids}:
        raise unknown_name(
            "--scan",
            scan_id,
            sorted({s for local in matrices.values() for s in local["scan"].values.tolist()}),
        )
    n_pages = sum(1 + len(ids) for ids in with_page.values())
    n_done = 0
    addresses = {label: f"{label}/index.html" if i else "index.html" for i, label in enumerate(labels)}
    with ReportFolder(out) as folder:
        for label, local in matrices.items():
            analyses = found[label]
            beside, back = _beside(label, local, analyses), Link(f"All scans, {label}", addresses[label])
            pages = {scan_id: f"{label}/scans/{scan_id}.html" for scan_id in with_page[label]}
            shown = _with_volumes(volumes, analyses, list(pages))
            for scan_id, address in pages.items():
                listen(f"{label}: {scan_id}", n_done / n_pages)
                links = [back, Link(scan_id, address, is_here=True)]
                one = local.sel(scan=scan_id)
                folder.write_page(address, scan_page(folder, store, one, beside, links, scan_id in shown))
                n_done += 1
            listen(f"{label}: all scans", n_done / n_pages)
            links = [Link(name, address, name == label) for name, address in addresses.items()]
            page = _cohort_page(folder, store, label, local, analyses, pages, links)
            folder.write_page(addresses[label], page)
            n_done += 1
    return n_pages


def publish_report(store: Store, summary: RunSummary) -> list[str]:
    """Write the cohort page of a run into its store; return the names of its files there, the pages last.

    ``report/<label>/index.html`` is the page of the label, ``report/index.html`` that of the latest run.

    Raises
    ------
    StoreError
        If the store holds no matrices of the label.
    """
    out, label = StoreReport(store), summary.label
    published = {*store.root.children("report"), label}
    links = [Link(name, f"{name}/index.html", name == label) for name in store.labels() if name in published]
    local, analyses = store.importance(label, SHOWN), analyses_of(store, label)
    page = _cohort_page(out, store, label, local, analyses, {}, links, summary)
    for address in (f"{label}/index.html", "index.html"):
        out.write_page(address, page)
    return out.files


def _beside(label: str, local: xr.Dataset, analyses: Analyses) -> Beside:
    normal = analyses.table("normal")
    n_reference = analyses.summary.get("n_reference")
    if normal is not None and n_reference:
        return Beside(label, normal, f"{n_reference} scans of the reference", analyses)
    source = f"the {local.sizes['scan']} scans of the store"
    return Beside(label, range_over_scans(local) if normal is None else normal, source, analyses)


def _with_page(local: xr.Dataset, analyses: Analyses, asked: Sequence[str]) -> list[str]:
    scan_ids = [str(scan_id) for scan_id in local["scan"].values]
    if len(scan_ids) <= MOST_SCANS:
        return scan_ids
    wanted = wanted_scans(analyses) | set(asked)
    return [scan_id for scan_id in scan_ids if scan_id in wanted]


def _with_volumes(volumes: str, analyses: Analyses, scan_ids: Sequence[str]) -> set[str]:
    if volumes == "flagged":
        scans = analyses.table("scans")
        return set() if scans is None else set(scans.loc[scans["flagged"] | scans["unsure"], "scan"])
    return set(scan_ids) if volumes == "all" else set()


def _cohort_page(
    out: Output,
    store: Store,
    label: str,
    local: xr.Dataset,
    analyses: Analyses,
    pages: Mapping[str, str],
    links: Sequence[Link],
    summary: RunSummary | None = None,
) -> Page:
    """Write the pictures of a cohort; return its page, of a run's outcomes too where a run publishes it."""
    recipe, model = store.labels()[label], store.model or {}
    mean, n_scans = local["mass"].mean("scan"), local.sizes["scan"]
    matrix = out.write_picture(
        f"{label}/pictures/heat_map",
        heat_map(mean, title="One scan" if n_scans == 1 else f"Mean over {n_scans} scans"),
        "Importance of each region for each class",
        "A row explains one class; its cells say in which regions the attribution lies.",
    )
    graph = out.write_picture(
        f"{label}/pictures/semantic_graph",
        semantic_graph(mean, title="The three largest contributions to each class"),
        "Graph of the three largest contributions to each class",
        "An arrow leads from a region to a class whose attribution lies in it; background is left out. "
        "The table below names the largest.",
    )
    contexts = analyses.table("context")
    outcomes = [] if summary is None else summary.outcomes
    failures = {scan: failure.reason for scan, failure in store.failures().items()}
    scan_ids = [str(scan_id) for scan_id in local["scan"].values]
    remarks = {}
    if summary is None:
        remarks = dict(zip(scan_ids, map(sentence, store.remarks(scan_ids)), strict=True))
    sections = [
        *(triage_section(analyses, pages) or [first_section(analyses, pages)]),
        _method_section(),
        scans_section(scan_ids, failures, analyses, pages, outcomes, remarks),
        unusual_section(analyses, pages),
        matrix_section(local, matrix),
        glance_section(local, graph),
        context_section(context(cohort_of(local), "store") if contexts is None else contexts),
        drift_section(analyses),
        quality_section(analyses),
        patients_section(analyses),
        benchmark_section(benchmark_of(store)),
        pictures_section([*_overlays(out, store, summary), *analysis_pictures(out, store, label, analyses)]),
        _commands_section(),
        _provenance_section(model, recipe, store.versions(label), in_run=summary is not None),
    ]
    settings = ", ".join(f"{name} = {value}" for name, value in recipe.params.items())
    facts = {
        "Model": str(model.get("name", "not known")),
        "Method": f"{recipe.method} ({settings})" if settings else recipe.method,
        "Scans": str(n_scans),
        "Classes": str(local.sizes["target"]),
    }
    if summary is not None:
        facts["Scans in this run"] = f"{len(outcomes)}, of which {summary.n_done} explained"
    return Page(f"{label}: what the model relies on", facts, links, gathered(sections))


def _overlays(out: Output, store: Store, summary: RunSummary | None) -> list[Picture]:
    """Write pictures of a scan of a run, at the same addresses for every run of a label."""
    done = [] if summary is None else [o.scan_id for o in summary.outcomes if o.status == "done"]
    voxels = voxels_of(store.scan(done[0])) if done else None
    if summary is None or voxels is None:
        return []
    names = largest_classes(voxels, summary.label, N_OVERLAYS)
    stems = {name: f"{summary.label}/pictures/overlay_{i}" for i, name in enumerate(names, start=1)}
    return overlay_pictures(out, store, voxels, summary.label, stems)


def _method_section() -> Section:
    text = [
        "The model segmented each scan. For every structure that it found, each voxel of the scan was given "
        "a value: how much that voxel contributed to the model's output for the structure. The absolute "
        "values were added up by region and divided by their total, so that they say what share of an "
        "explanation lies where. These shares were averaged over the scans in which the structure was found."
    ]
    return Section("done", "What was done", text=text)


def _commands_section() -> Section:
    rows = [
        ("agg2exp report STORE", "A page for each scan, with its explanation in a viewer, slice by slice"),
        ("agg2exp analyse STORE", "Scans that the model handled abnormally, and why"),
        ("agg2exp export STORE", "Attributions and label maps as NIfTI files in the space of the scan"),
        ("agg2exp reduce STORE --rois DIR", "The matrix again, with regions of your own, without the model"),
        (
            "agg2exp explain SCANS --method integrated_gradients",
            "Another method: where two disagree, trust neither without a closer look",
        ),
        ("agg2exp ui", "The history of runs, step by step"),
    ]
    frame = pd.DataFrame(rows, columns=["command", "result"])
    columns = [Column("command", "Command"), Column("result", "What it gives")]
    return Section("next", "What to try next", tables=[DataTable("Commands", columns, frame)])


def _provenance_section(
    model: Mapping[str, Any], recipe: Label, versions: Mapping[str, str], *, in_run: bool
) -> Section:
    programs = ("agg2exp", "torch", "monai") if in_run else ("agg2exp",)
    made_by = {name: f"since {since}" for name, since in versions.items()} or {
        "0.1.0 or earlier": "not noted"
    }
    told = {
        **{f"agg2exp {name}, which made results": since for name, since in made_by.items()},
        **{f"{name}, when this page was written": version(name) for name in programs},
        "model": model,
        "method": recipe.method,
        "parameters": recipe.params,
    }
    rows = pd.DataFrame(_leaves(told), columns=["name", "value"])
    columns = [Column("name", "Name"), Column("value", "Value")]
    table = DataTable("What these results depend on", columns, rows)
    return Section("provenance", "Provenance", tables=[table])


def _leaves(settings: Mapping[str, Any], path: str = "") -> list[tuple[str, str]]:
    """Return the leaves of nested settings as ``a.b.c``, text."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            rows += _leaves(value, f"{path}{key}.")
        else:
            rows.append((f"{path}{key}", str(value)))
    return rows
