"""What a process opens once and keeps: its model and its stores."""

from __future__ import annotations

from functools import lru_cache

from agg2exp_core.models import load_model, with_precision
from agg2exp_core.pipeline.settings import ExplainSettings
from agg2exp_core.store import Store, open_store
from agg2exp_core.types import SegmentationModel


def model_of(settings: ExplainSettings) -> SegmentationModel:
    """Return the model that settings ask for, loaded once per process."""
    return _loaded(settings.model, settings.device, settings.precision)


@lru_cache(maxsize=1)
def _loaded(ref: str, device: str, precision: str) -> SegmentationModel:
    return with_precision(load_model(ref, device), precision)


@lru_cache(maxsize=8)
def store_of(uri: str) -> Store:
    """Return the store of an address, opened once per process."""
    return open_store(uri, create=True)
