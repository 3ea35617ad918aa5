"""Share of the time in which the device is busy, over scans from reading to writing."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from agg2exp_core.phantom import make_phantom
from agg2exp_core.pipeline import ExplainSettings, explain_cohort, plan_scans
from agg2exp_core.pipeline.cache import model_of
from benchmarks.gpu.cases import NETWORKS, Bench
from benchmarks.timing import Row, once

EVERY_S = 0.1


@contextmanager
def utilisation(device: str) -> Iterator[list[float]]:
    """Fill a list with the shares in which the device was busy, while it is open.

    Of a GPU its driver's own samples. Of a CPU, as a stand-in, whether a network passes forward.
    """
    shares: list[float] = []
    inside = [0]

    def enter(module: Any, args: Any) -> None:
        inside[0] += 1

    def leave(module: Any, args: Any, output: Any) -> None:
        inside[0] -= 1

    over = threading.Event()

    def sample() -> None:
        while not over.wait(EVERY_S):
            shares.append(torch.cuda.utilization() / 100 if device == "cuda" else float(inside[0] > 0))

    hooks = (
        []
        if device == "cuda"
        else [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
    )
    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield shares
    finally:
        over.set()
        thread.join()
        for hook in hooks:
            hook.remove()


def write_model(folder: Path, name: str, bench: Bench) -> Path:
    """Write a network with random weights as a description and a TorchScript program."""
    n_classes, make = NETWORKS[name][1:]
    torch.manual_seed(0)
    side, network = bench.window(name), make(bench.small).eval()
    program = torch.jit.trace(network, torch.rand(1, 1, side, side, side), check_trace=False)
    program.save(str(folder / "net.ts"))
    names = ", ".join(f"part {i}" for i in range(n_classes))
    (folder / "net.yaml").write_text(
        f"name: {name}\nweights: net.ts\nclass_names: [{names}]\n"
        f"windows: {{shape: [{side}, {side}, {side}], overlap: 0.25}}\n"
        f"preprocessing: {{kind: ct, spacing_mm: {8.0 if bench.small else 1.5}}}\n"
    )
    return folder / "net.ts"


def rows(bench: Bench, name: str, limit_s: float) -> list[Row]:
    """Return the share over as many of 8 scans as fit the time, after one that warms up."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        spacing = 8.0 if bench.small else 2.0
        hu = make_phantom(0, spacing).hu.astype(np.int16)
        affine = np.diag([spacing, spacing, spacing, 1])
        (folder / "scans").mkdir()
        for i in range(3 if bench.small else 9):
            nib.save(nib.Nifti1Image(np.roll(hu, i, 0), affine), folder / "scans" / f"s{i}.nii.gz")
        settings = ExplainSettings(
            store=str(folder / "store"),
            model=str(write_model(folder, name, bench)),
            method="vanilla_gradient",
            device=bench.device,
        )
        model_of(settings)
        jobs = plan_scans([str(folder / "scans")], None, settings).jobs
        of_one = bench.seconds(lambda: explain_cohort(jobs[:1], settings))
        n = max(min(int(limit_s / 2 / of_one), len(jobs) - 1), 1)
        started = time.perf_counter()
        with utilisation(bench.device) as shares:
            summary = explain_cohort(jobs[1 : n + 1], settings)
        seconds = (time.perf_counter() - started) / n
        assert summary.n_done == n, summary
    what = "the GPU is busy" if bench.device == "cuda" else "the network passes forward (a stand-in)"
    return [
        once(f"{name}: seconds a scan, of {n}, read to written", seconds),
        once(f"{name}: share of the time in which {what}", float(np.mean(shares)), at_least=0.9),
    ]
