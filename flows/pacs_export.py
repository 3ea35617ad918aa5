"""Flow `return-results`: predictions and attributions go back to the PACS that the scans came from."""

from __future__ import annotations

from prefect import flow, get_run_logger

from agg2exp.flows.alerts import alert
from agg2exp.tasks.intake import identity_key
from agg2exp.tasks.pacs_export import report_returned, return_scan
from agg2exp_core.dicom import Stack
from agg2exp_core.errors import ScanError
from agg2exp_core.export.pacs import ReturnSettings, not_returned
from agg2exp_core.intake.relink import find_series
from agg2exp_core.intake.settings import source_of
from agg2exp_core.pipeline.cache import store_of
from agg2exp_core.pipeline.outcomes import Alert, ScanOutcome, reason_of

NOT_FOUND = "its series is not among those that the source lists for these days"


@flow(name="return-results", flow_run_name="return results of {label}", persist_result=False)
def return_results(store: str, label: str, settings: ReturnSettings) -> list[ScanOutcome]:
    """Store in a PACS what it does not have yet of the results of a store.

    The series that a result refers to is found again in the source of the intake, by the keyed hash that is
    the scan's id: nobody keeps a list of who is who. One that fails is named, and the others go on.

    Parameters
    ----------
    store : str
        Address of the store.
    label : str
        Which results.
    settings : ReturnSettings
        Where they go, and where the series are.

    Returns
    -------
    list of ScanOutcome
        How each scan fared.
    """
    opened = store_of(store)
    missing = not_returned(opened, label, settings)
    outcomes: dict[str, ScanOutcome] = {}
    intake = settings.intake
    if missing:
        for scan_id, slices in find_series(source_of(intake), identity_key(), intake.rules, missing):
            outcomes[scan_id] = _returned(store, scan_id, slices, label, settings)
    for scan_id in sorted(missing - outcomes.keys()):
        outcomes[scan_id] = ScanOutcome(scan_id, "not found", NOT_FOUND)
    n_done = sum(outcome.status == "done" for outcome in outcomes.values())
    get_run_logger().info("results of %d of %d scans stored", n_done, len(outcomes))
    if outcomes:
        report_returned(label, list(outcomes.values()))
    return list(outcomes.values())


def _returned(
    store: str, scan_id: str, slices: Stack | ScanError, label: str, settings: ReturnSettings
) -> ScanOutcome:
    """Return how a scan fared; of one that failed an event tells."""
    result: object = slices
    where = scan_id
    if isinstance(slices, Stack):
        where = str(slices.headers[0].path.parent)
        state = return_scan(store, scan_id, slices, label, settings, return_state=True)
        result = state.result(raise_on_failure=False)
    if isinstance(result, ScanOutcome):
        return result
    outcome = ScanOutcome(scan_id, "failed", reason_of(result, scan_id, where))
    alert(Alert(scan_id, "return", outcome.reason))
    return outcome
