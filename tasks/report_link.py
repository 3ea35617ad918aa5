"""Write the report after an analysis, and link it in the Prefect UI."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.artifacts import create_link_artifact

from tasks.analyse_settings import AnalyseSettings
from tasks.reporting import write_report
from tasks.resources import store_of
from tasks.retrying import RETRYING
from tasks.settings import artifact_key


@task(name="report", task_run_name="report {settings.label}", **RETRYING)
def link_report(settings: AnalyseSettings) -> str:
    """Write the pages of an analysed label, with the voxels of flagged scans; return their address.

    Raises
    ------
    UsageError
        If the folder holds something else than an earlier report.
    """
    assert settings.report is not None
    folder = Path(settings.report).absolute()
    n_pages = write_report(store_of(settings.store), [settings.label], folder, volumes="flagged")
    address = f"{(settings.report_url or folder.as_uri()).rstrip('/')}/index.html"
    create_link_artifact(
        key=artifact_key("report", settings.label),
        link=address,
        link_text=f"{settings.label}: report of {n_pages - 1} scans",
        description=f"{settings.label}: what the model looked at, scan by scan. A browser may refuse to open "
        "a folder from this page: copy the address then.",
    )
    return address
