"""Size and loading time of a report: 32 scans of the paper's table, some with volumes of phantoms.

The volumes are of 1.5 mm, as the paper's scans are; attributions are noise around each class, which packs
worse than an explanation. Pages are loaded from the disk by headless Chromium, where there is one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from agg2exp.tasks.analyse import find
from agg2exp_core.analysis.published import read_published
from agg2exp_core.importance import global_importance
from agg2exp_core.labels import THORAX_CLASSES
from agg2exp_core.phantom import make_phantom
from agg2exp_core.pipeline.settings import AnalyseSettings
from agg2exp_core.report.cohort_page import write_report
from agg2exp_core.store import ScanStore, Store, open_store
from agg2exp_core.types import Prediction, Scan

LABEL = "smoothgrad"
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def make_store(folder: Path, table: Path, n_volumes: int, spacing_mm: float) -> Store:
    """Return a store with the table's matrices, their analysis, and volumes for the first scans."""
    store = open_store(folder, create=True)
    local = read_published(table)
    store.register_label(LABEL, "smoothgrad", {})
    store.write_importance(LABEL, local, global_importance(local))
    find.fn(AnalyseSettings(store=store.uri, label=LABEL, figures=False))
    for seed, scan_id in enumerate(local["scan"].values[:n_volumes]):
        write_volumes(store.scan(str(scan_id)), seed, spacing_mm)
    return store


def write_volumes(there: ScanStore, seed: int, spacing_mm: float) -> None:
    """Write a phantom, its labels as prediction, and an attribution for each class."""
    phantom = make_phantom(seed, spacing_mm)
    image = np.clip((phantom.hu.astype(np.float32) + 1024) / 2048, 0, 1)
    there.write_image(
        Scan(there.scan_id, torch.from_numpy(image[None]), phantom.grid.affine, phantom.grid, f"{seed:064d}")
    )
    ones = np.ones(image.shape, dtype=np.float32)
    labels = phantom.labels.astype(np.uint8)
    there.write_prediction(Prediction(labels, THORAX_CLASSES, ones, ones), f"{seed:064d}")
    rng = np.random.default_rng(seed)
    for index, name in enumerate(THORAX_CLASSES):
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        values = noise * (0.05 + image) * (0.1 + (labels == index))
        there.write_unit(LABEL, name, values, identity=f"{index:064d}", info={})


def page_bytes(out: Path, scan_id: str | None) -> int:
    """Return the bytes of all that a page can load: HTML, scripts, pictures, and volumes of all classes."""
    if scan_id is None:
        parts = [out / "index.html", *(out / LABEL / "pictures").glob("*.png")]
    else:
        parts = [
            out / LABEL / "scans" / f"{scan_id}.html",
            *(out / LABEL / "pictures" / scan_id).glob("*.png"),
            *(out / "volumes" / scan_id).rglob("*.js"),
        ]
    return sum(path.stat().st_size for path in [*parts, *(out / "assets").glob("*.*")])


def loading_seconds(page: Path, has_volume: bool) -> float:
    """Return how long a page takes to draw its charts, and its volume with the first attribution."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        tab = browser.new_page()
        tab.set_default_timeout(300_000)
        start = time.perf_counter()
        tab.goto(page.as_uri())
        for chart in tab.locator("[data-chart]").all():
            chart.locator("svg").wait_for(state="attached")
        if has_volume:
            tab.locator("#viewer-canvas[data-shown]:not([data-shown=''])").wait_for()
        seconds = time.perf_counter() - start
        browser.close()
    return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.report")
    parser.add_argument("table", type=Path, help="the paper's table of local importances, CSV")
    parser.add_argument("--volumes", type=int, default=2, help="scans with volumes")
    parser.add_argument("--spacing", type=float, default=1.5, help="edge of a voxel, mm")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder, "store"), given.table, given.volumes, given.spacing)
        out = Path(folder, "report")
        start = time.process_time()
        n_pages = write_report(store, [LABEL], out)
        seconds = time.process_time() - start
        with_volumes = store.scans()
        bare = str(store.importance(LABEL)["scan"].values[-1])
        table = Table("", "value", title=f"report of {n_pages - 1} scans, {len(with_volumes)} with volumes")
        total = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        pages = {"all scans": None, "a scan without volumes": bare}
        pages |= {f"the scan {scan_id} with volumes": scan_id for scan_id in with_volumes}
        table.add_row("written in, processor seconds", f"{seconds:.1f}")
        table.add_row("whole folder, MB", f"{total / 1e6:.1f}")
        for name, scan_id in pages.items():
            table.add_row(f"{name}, MB with all classes", f"{page_bytes(out, scan_id) / 1e6:.1f}")
        if CHROMIUM.exists():
            for name, scan_id in pages.items():
                page = out / "index.html" if scan_id is None else out / LABEL / "scans" / f"{scan_id}.html"
                taken = loading_seconds(page, scan_id in with_volumes)
                table.add_row(f"{name}, seconds to load", f"{taken:.1f}")
        Console().print(table)


if __name__ == "__main__":
    main()
