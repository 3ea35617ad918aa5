"""Patches per second of the paper's training, and the share of the time that waits for data."""

from __future__ import annotations

import tempfile
import time
from itertools import pairwise
from statistics import median

import torch

from agg2exp_core.training import train
from agg2exp_core.training.config import read_config
from agg2exp_core.training.examples import Example
from agg2exp_core.training.sampling import PatchBatches
from benchmarks.gpu.cases import Bench, label_map
from benchmarks.timing import Row, once

N_STEPS = 20
N_WARM = 5


def rows(bench: Bench, name: str, limit_s: float) -> list[Row]:
    """Return both, over some updates of Swin UNETR v2 as the paper trains it."""
    config = read_config("unet_small" if bench.small else "swin_unetr_v2")
    n_steps = 3 if bench.small else N_STEPS
    shorter = {"n_steps": n_steps, "validate_every": n_steps, "save_every": n_steps}
    if bench.small:
        shorter |= {"window_shape": (32, 32, 32), "batch_size": 1}
    schedule = config.training.model_copy(update=shorter)
    config = config.model_copy(update={"training": schedule})
    side = 40 if bench.small else 200
    labels = torch.from_numpy(label_map(side, len(config.class_names)).astype("int64"))
    scan = Example("a", torch.rand(1, *labels.shape), labels)
    ends, waits = [time.perf_counter()], [0.0]

    class Timed(PatchBatches):
        def __getitem__(self, number: int) -> object:
            started = time.perf_counter()
            batch = PatchBatches.__getitem__(self, number)
            waits[-1] += time.perf_counter() - started
            return batch

    def on_step(step: int, loss: float) -> None:
        bench.wait()
        ends.append(time.perf_counter())
        waits.append(0.0)

    import agg2exp_core.training.segmentation as home

    home.PatchBatches = Timed  # type: ignore[misc]
    try:
        with tempfile.TemporaryDirectory() as folder:
            train(config, [scan], [scan], folder, device=bench.device, on_step=on_step)
    finally:
        home.PatchBatches = PatchBatches  # type: ignore[misc]
    steps = [later - earlier for earlier, later in pairwise(ends)]
    warm = slice(min(N_WARM, len(steps) - 2), len(steps) - 1)  # the last one validates too
    seconds = median(steps[warm])
    n_patches = schedule.batch_size * schedule.accumulate
    what = f"{config.name} in {schedule.precision}, {n_patches} patches an update"
    share = sum(waits[warm]) / sum(steps[warm])
    return [
        once(f"training of {what}: patches a second", n_patches / seconds),
        once("the same: share of the time that waits for data", share, at_most=0.1),
    ]
