"""Stage 1: read a scan, segment it, lay image and prediction into the store."""

from __future__ import annotations

from typing import TypedDict

from prefect import task
from prefect.runtime import task_run

from agg2exp_core.errors import StoreError
from agg2exp_core.prediction import predict
from agg2exp_core.store import identity
from agg2exp_core.volumes import load_scan
from tasks.resources import model_of, store_of
from tasks.retrying import RETRYING
from tasks.settings import ExplainSettings, ScanJob, without_path


class Segmented(TypedDict):
    """What the next stages need to know of a segmented scan."""

    scan_id: str
    content_hash: str
    present: list[str]
    kept: bool


def _run_name() -> str:
    return f"segment {task_run.parameters['scan'].scan_id}"


@task(name="segment", task_run_name=_run_name, **RETRYING)
def segment(scan: ScanJob, settings: ExplainSettings) -> Segmented:
    """Segment a scan unless the store holds it already.

    Raises
    ------
    ScanError
        If the scan cannot be used.
    StoreError
        If the store holds another scan of this id.
    """
    model = model_of(settings)
    with without_path(scan.scan_id):
        loaded = load_scan(scan.path, model, scan.scan_id)
    there = store_of(settings.store).scan(scan.scan_id)
    if there.content_hash() not in (None, loaded.content_hash):
        raise StoreError(
            scan.scan_id,
            got="another scan than the one that the store holds under this id",
            allowed="one scan an id",
            remedy="choose another --scan-id, or another store",
        )
    name = identity(scan=loaded.content_hash, model=model.fingerprint)
    prediction = there.prediction() if there.prediction_identity() == name else None
    kept = prediction is not None
    if prediction is None:
        there.write_image(loaded)
        prediction = predict(model, loaded, window_batch=settings.window_batch)
        there.write_prediction(prediction, name)
    return Segmented(
        scan_id=scan.scan_id,
        content_hash=loaded.content_hash,
        present=list(prediction.present),
        kept=kept,
    )
