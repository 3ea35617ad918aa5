"""What the pages of the UI ask the server, asked again and again while it works."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np

from benchmarks.timing import Row, once

PERIOD_S = 1.0
MOST_S = 1.0
"""That an answer may take."""


def requests() -> Mapping[str, Any]:
    """Return paths and bodies: pages of runs, of their tasks, of deployments, the dashboard."""
    since = (datetime.now(UTC) - timedelta(days=7)).isoformat()
    runs = {"flow_runs": {"expected_start_time": {"after_": since}}}
    return {
        "ui/flow_runs/history": {**runs, "sort": "EXPECTED_START_TIME_DESC", "limit": 1000},
        "flow_runs/paginate": {**runs, "sort": "EXPECTED_START_TIME_DESC", "limit": 100, "page": 1},
        "flow_runs/count": runs,
        "task_runs/paginate": {"sort": "EXPECTED_START_TIME_DESC", "limit": 100, "page": 1},
        "task_runs/count": {},
        "ui/task_runs/dashboard/counts": {"task_runs": {"start_time": {"after_": since}}},
        "deployments/paginate": {"limit": 100, "page": 1},
    }


@dataclass
class Visitor:
    """A thread that looks at the pages; a context.

    Parameters
    ----------
    api_url : str
        Of the server.
    """

    api_url: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    n_errors: int = 0

    def __enter__(self) -> Visitor:
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._leave.set()
        self._thread.join()

    def _look(self) -> None:
        with httpx.Client(base_url=f"{self.api_url}/", timeout=60, trust_env=False) as client:
            while not self._leave.wait(PERIOD_S):
                for path, body in requests().items():
                    started = time.perf_counter()
                    try:
                        client.post(path, json=body).raise_for_status()
                    except httpx.HTTPError:
                        self.n_errors += 1
                    else:
                        self.seconds.setdefault(path, []).append(time.perf_counter() - started)

    def rows(self) -> list[Row]:
        """Return the rows of a table."""
        found = [once("pages: requests that failed", self.n_errors, at_most=0)]
        for path, seconds in self.seconds.items():
            p50, p95 = np.quantile(seconds, [0.5, 0.95])
            what = f"pages: {path}, {len(seconds)} requests"
            found += [
                once(f"{what}: median, s", p50),
                once(f"{what}: 95 of 100 within, s", p95, at_most=MOST_S),
                once(f"{what}: slowest, s", max(seconds)),
            ]
        return found
