"""A method that takes its time for each class, so that a run can be ended in the middle of a scan."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

from agg2exp_core.attribution import Method, Problem
from agg2exp_core.attribution.method import Explained

REFERENCE = "tests.faults.slow:Slow"
SECONDS = "AGG2EXP_FAULTS_SECONDS"
"""Environment variable: a class takes so long. It changes no result."""


class Slow(Method):
    """Gives the scan times the number of the class."""

    random = False

    def explain(self, problem: Problem, classes: Sequence[int]) -> Iterator[Explained]:
        """Sleep before each class."""
        for class_index in classes:
            time.sleep(float(os.environ.get(SECONDS, "0")))
            yield class_index, problem.image * (class_index + 1), {}
