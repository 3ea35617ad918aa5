"""The tables: ``python -m benchmarks.gpu [--part PART ...] [--network NAME ...] [--device cpu --small]``."""

from __future__ import annotations

import argparse
import importlib
import logging
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.gpu.cases import NETWORKS, Bench
from benchmarks.timing import Row, print_table

PARTS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "passes": ("passes", "rows", ("swin", "resenc", "unet")),
    "players": ("passes", "player_rows", ("swin",)),
    "best": ("best", "rows", ("swin", "resenc", "unet")),
    "captum": ("against_captum", "rows", ("unet",)),
    "memory": ("memory", "rows", ("swin", "unet")),
    "busy": ("busy", "rows", ("unet",)),
    "training": ("training", "rows", ("swin",)),
}
"""Module and function of each part, and the networks that it is told of."""
LIMIT_S = 500.0
"""Of a call: what is left of nine minutes once a machine is warm."""


def card(device: str) -> str:
    """Return the name of the device, and of what drives it."""
    if device == "cpu":
        return f"the CPU, {torch.get_num_threads()} threads"
    return (
        f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    )


def main() -> None:
    """Print the tables, each as soon as it is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--part", action="append", choices=PARTS, help="again for more; all by default")
    parser.add_argument("--network", action="append", choices=NETWORKS, help="again for more; all by default")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="toy sizes, to see that it runs")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds of this call, about")
    parser.add_argument("--out", type=Path, help="a file to which the lines are added too")
    chosen = parser.parse_args()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        parser.error("no CUDA device here; --device cpu --small shows that it runs")
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    bench, started = Bench(chosen.device, chosen.small), time.perf_counter()
    parts = chosen.part or list(PARTS)
    works = [
        (part, name) for part in parts for name in PARTS[part][2] if name in (chosen.network or NETWORKS)
    ]
    for i, (part, name) in enumerate(works):
        left = chosen.limit - (time.perf_counter() - started)
        if left < 0:
            print(f"time is over before {part} of {name}")
            continue
        print_part(bench, part, name, left / (len(works) - i), chosen.out)


def print_part(bench: Bench, part: str, name: str, limit_s: float, out: Path | None) -> None:
    """Print the table of a part; what fails is told, and the others go on."""
    module, function, _ = PARTS[part]
    started = time.perf_counter()
    try:
        rows_of: Callable[[Bench, str, float], list[Row]] = getattr(
            importlib.import_module(f"benchmarks.gpu.{module}"), function
        )
        rows = rows_of(bench, name, limit_s)
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        print(f"{part} of {name} left out: {type(error).__name__}: {first}", flush=True)
        return
    print_table(f"{part}, on {card(bench.device)}, {time.perf_counter() - started:.0f} s", rows)
    if out is not None:
        with out.open("a") as file:
            file.writelines(f"{part}\t{row.what}\t{row.figure}\t{row.target}\n" for row in rows)


if __name__ == "__main__":
    main()
