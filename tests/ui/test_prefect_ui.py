"""The pages of the embedded server in a real browser."""

import pytest

from agg2exp.flows.server import embedded_server, wait_until_recorded
from agg2exp.flows.server.environment import environment

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]


def test_a_flow_run_its_task_runs_and_artifacts_show(tmp_path, page):
    """No page asks for anything outside."""
    with environment({"PREFECT_API_URL": None}), embedded_server(tmp_path / "state") as server:
        run_id, artifact_id = _run_a_flow()
        assert wait_until_recorded(run_id) == 6
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))

        page.goto(f"{server.ui_url}/runs/flow-run/{run_id}")
        page.get_by_text("explain-scan-0", exact=True).first.wait_for()
        page.get_by_text("6 Task runs").wait_for()
        page.get_by_text("Task Runs", exact=True).click()
        for i in range(6):
            page.get_by_text(f"s0001-heart-{i}", exact=True).locator("visible=true").first.wait_for()
        page.get_by_text("Artifacts", exact=True).locator("visible=true").last.click()
        page.get_by_text("importance-matrix").locator("visible=true").first.wait_for()
        page.goto(f"{server.ui_url}/artifacts/artifact/{artifact_id}")
        page.get_by_text("0.75").locator("visible=true").first.wait_for()
        assert [url for url in requested if not url.startswith((server.ui_url, "data:", "blob:"))] == []


def _run_a_flow() -> tuple[str, str]:
    from prefect import flow, task
    from prefect.artifacts import create_table_artifact
    from prefect.context import get_run_context

    @task(task_run_name="s0001-heart-{i}")
    def attribute(i: int) -> int:
        return i

    @flow(flow_run_name="explain-scan-0")
    def explain() -> tuple[str, str]:
        for future in [attribute.submit(i) for i in range(6)]:
            future.result()
        row = {"target": "heart", "roi": "lung", "share": 0.75}
        artifact_id = create_table_artifact([row], key="importance-matrix")
        return str(get_run_context().flow_run.id), str(artifact_id)

    return explain()
