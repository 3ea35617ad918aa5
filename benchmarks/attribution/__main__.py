"""The table: ``python -m benchmarks.attribution [--quick] [SUBJECT ...]``."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable, Mapping

from benchmarks.attribution import gradients, memory, reduction, shapley, storing
from benchmarks.attribution.case import make_case
from benchmarks.timing import Row, print_table

Subjects = Mapping[str, Callable[[], list[Row]]]
"""What gives the rows of each subject, by name."""


def full() -> Subjects:
    """Return the subjects on a phantom of 4 mm, 48 windows; the sampled methods on a part, 6 windows."""
    case = make_case(spacing_mm=4.0, window_side=32)
    part = case.crop(slice(0, 56), slice(None), slice(30, 62))
    return {
        "vanilla": lambda: gradients.vanilla_rows(case, n_repeats=9, n_captum=2),
        "sampled": lambda: gradients.sampled_rows(part, n_repeats=5),
        "shapley": lambda: shapley.rows(case, side=48, n_repeats=3, n_timed=5),
        "storing": lambda: storing.rows(case, n_repeats=5),
        "reduction": lambda: reduction.rows(case, n_times=2, n_repeats=5),
        "memory": lambda: memory.rows(n_planes=128, n_repeats=3),
    }


def quick() -> Subjects:
    """Return the same in seconds, too small for its times to mean anything."""
    case = make_case(spacing_mm=8.0, window_side=16).crop(slice(12, 40), slice(8, 24), slice(12, 28))
    return {
        "vanilla": lambda: gradients.vanilla_rows(case, n_repeats=1, n_captum=1),
        "sampled": lambda: gradients.sampled_rows(case, n_repeats=1, n_samples=2),
        "shapley": lambda: shapley.rows(case, side=14, n_repeats=1, n_timed=2, n_samples=100),
        "storing": lambda: storing.rows(case, n_repeats=1),
        "reduction": lambda: reduction.rows(case, n_times=1, n_repeats=1),
        "memory": lambda: memory.rows(n_planes=16, n_repeats=1),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attribution", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small case, to see that it runs")
    parser.add_argument("subject", nargs="*", help="only these rows")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    subjects = quick() if arguments.quick else full()
    unknown = set(arguments.subject) - set(subjects)
    if unknown:
        parser.error(f"no subject {sorted(unknown)}; allowed: {', '.join(subjects)}")
    rows = []
    for name, rows_of in subjects.items():
        if name in arguments.subject or not arguments.subject:
            started = time.perf_counter()
            rows += rows_of()
            print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    print_table("Speed of the attribution engine", rows)


if __name__ == "__main__":
    main()
