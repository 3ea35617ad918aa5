"""What a process opens once and keeps: its model and its stores."""

from __future__ import annotations

from functools import lru_cache

from agg2exp_core.models import check_network, load_model, with_precision
from agg2exp_core.pipeline.settings import ExplainSettings
from agg2exp_core.remarks import Remark
from agg2exp_core.store import Store, open_store
from agg2exp_core.types import SegmentationModel


def model_of(settings: ExplainSettings) -> SegmentationModel:
    """Return the model that settings ask for, loaded once per process."""
    return _loaded(settings.model, settings.device, settings.precision)


@lru_cache(maxsize=1)
def _loaded(ref: str, device: str, precision: str) -> SegmentationModel:
    return with_precision(load_model(ref, device), precision)


def network_remarks(settings: ExplainSettings) -> tuple[Remark, ...]:
    """Return what is doubtful about the model that settings ask for, looked at once per process.

    Raises
    ------
    ModelError
        If its network cannot be used, as `agg2exp_core.models.check_network` does.
    """
    reference = (settings.model, settings.device, settings.precision)
    return _examined(*reference, tuple(settings.accept), settings.window_batch)


@lru_cache(maxsize=1)
def _examined(
    ref: str, device: str, precision: str, accept: tuple[str, ...], window_batch: int | None
) -> tuple[Remark, ...]:
    return check_network(_loaded(ref, device, precision), accept, window_batch)


@lru_cache(maxsize=8)
def store_of(uri: str) -> Store:
    """Return the store of an address, opened once per process."""
    return open_store(uri, create=True)
