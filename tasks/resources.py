"""What a process opens once and keeps: its model and its stores."""

from __future__ import annotations

from functools import lru_cache

from agg2exp_core.models import load_model
from agg2exp_core.store import Store, open_store
from agg2exp_core.types import SegmentationModel


@lru_cache(maxsize=1)
def model_of(ref: str, device: str) -> SegmentationModel:
    """Return the model of a reference, loaded once per process."""
    return load_model(ref, device)


@lru_cache(maxsize=8)
def store_of(uri: str) -> Store:
    """Return the store of an address, opened once per process."""
    return open_store(uri, create=True)
