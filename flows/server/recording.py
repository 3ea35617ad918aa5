"""Wait until a server has recorded what a flow run did.

Task runs reach the server as events, some time after the flow has returned.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

POLL_S = 0.25

_log = logging.getLogger(__name__)


def wait_until_recorded(flow_run_id: UUID | str, timeout_s: float = 60.0) -> int:
    """Wait until every task run of a flow run, and of its subflows, is recorded in a final state.

    A marker event follows the events of the task runs through the same queue of this process. Once the
    server has stored it, the stored events name every task run that there is to be; what remains is to wait
    for those. Task runs of other processes (process pools, other machines) are counted as far as their
    events had arrived by then.

    Parameters
    ----------
    flow_run_id : UUID or str
        A flow run that this process has carried out.
    timeout_s : float
        Seconds after which a warning is logged and the wait ends.

    Returns
    -------
    int
        Task runs recorded in a final state, without those that stand for subflows.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.events.utilities import emit_event

    deadline = time.monotonic() + timeout_s
    marker = emit_event(
        "agg2exp.flow-run.finished", resource={"prefect.resource.id": f"prefect.flow-run.{flow_run_id}"}
    )
    n_final = n_expected = 0
    trouble = "has not recorded all of it in time"
    with get_client(sync_client=True) as client:
        try:
            flow_run_ids = _with_subflows(client, str(flow_run_id))
            while time.monotonic() < deadline:
                is_stored = marker is None or _is_stored(client, marker.id)
                n_announced = _n_announced(client, flow_run_ids)
                n_open, n_final = (_n_task_runs(client, flow_run_ids, final=final) for final in (False, True))
                n_expected = max(n_announced, n_open + n_final)
                if is_stored and n_final == n_expected:
                    return n_final
                time.sleep(POLL_S)
        except httpx.HTTPError as error:
            trouble = f"cannot be asked ({error!r})"
    _log.warning(
        "Flow run %s: after %.0f s the Prefect server %s: %d of %d task runs are in a final state. "
        "Its pages may lack the rest; the results themselves are not affected.",
        flow_run_id,
        time.monotonic() - deadline + timeout_s,
        trouble,
        n_final,
        n_expected,
    )
    return n_final


def _with_subflows(client: SyncPrefectClient, flow_run_id: str) -> list[str]:
    found, parents = [flow_run_id], [flow_run_id]
    while parents:
        children: list[str] = []
        while page := _post(
            client,
            "/flow_runs/filter",
            flow_runs={"parent_flow_run_id": {"any_": parents}},
            sort="ID_DESC",
            offset=len(children),
        ):
            children += [run["id"] for run in page]
        found += children
        parents = children
    return found


def _is_stored(client: SyncPrefectClient, event_id: UUID) -> bool:
    return bool(_post(client, "/events/filter", filter={"id": {"id": [str(event_id)]}})["total"])


def _n_announced(client: SyncPrefectClient, flow_run_ids: list[str]) -> int:
    """Return the number of task runs of which the server has stored any event."""
    related = {"id": [f"prefect.flow-run.{flow_run_id}" for flow_run_id in flow_run_ids]}
    chosen = {"event": {"prefix": ["prefect.task-run."]}, "related": related}
    return len(_post(client, "/events/count-by/resource", filter=chosen))


def _n_task_runs(client: SyncPrefectClient, flow_run_ids: list[str], *, final: bool) -> int:
    from prefect.client.schemas.objects import TERMINAL_STATES, StateType

    states = [state.value for state in StateType if (state in TERMINAL_STATES) == final]
    return int(
        _post(
            client,
            "/task_runs/count",
            flow_runs={"id": {"any_": flow_run_ids}},
            task_runs={"state": {"type": {"any_": states}}, "subflow_runs": {"exists_": False}},
        )
    )


def _post(client: SyncPrefectClient, path: Any, **body: Any) -> Any:
    return client.request("POST", path, json=body).json()
