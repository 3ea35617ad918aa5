"""Runs that a killed process has left behind: *Crashed* in the history, not *Running* for ever."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

_OPEN = {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}
_CRASHED = {
    "state": {
        "type": "CRASHED",
        "name": "Crashed",
        "message": "Its process was ended from outside.",
    },
    "force": True,
}
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def end_dead_runs(api_url: str) -> int:
    """Mark the open runs of a server that has just started as crashed; return how many flow runs these are.

    A server of a state folder ends with its last client, and so did they. Runs of deployments are left alone:
    their workers may be alive, and an automation looks after them.

    Parameters
    ----------
    api_url : str
        Of the server, ending in ``/api``.
    """
    known: list[str] = []
    alone = {"deployment_id": {"is_null_": True}, "parent_task_run_id": {"is_null_": True}}
    found = [*_found(api_url, "flow_runs", flow_runs={"state": _OPEN, **alone})]
    while found:
        known += found
        within = {"parent_flow_run_id": {"any_": found}, "state": _OPEN}
        found = [*_found(api_url, "flow_runs", flow_runs=within)]
    for start in range(0, len(known), 100):
        of_runs = {"id": {"any_": known[start : start + 100]}}
        for task_run in _found(api_url, "task_runs", flow_runs=of_runs, task_runs={"state": _OPEN}):
            _post(f"{api_url}/task_runs/{task_run}/set_state", _CRASHED)
    for flow_run in known:
        _post(f"{api_url}/flow_runs/{flow_run}/set_state", _CRASHED)
    return len(known)


def _found(api_url: str, kind: str, **filters: Any) -> Iterator[str]:
    """Yield the ids of all runs that match, page by page, before any of them changes."""
    ids: list[str] = []
    while page := _post(f"{api_url}/{kind}/filter", {**filters, "sort": "ID_DESC", "offset": len(ids)}):
        ids += [run["id"] for run in page]
    yield from ids


def _post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with _direct.open(request, timeout=30) as reply:
        return json.loads(reply.read())
