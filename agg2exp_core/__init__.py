"""The core: everything that is computed, without Prefect.

The names below are the public interface; each is loaded when it is first used.
"""

from typing import TYPE_CHECKING

from agg2exp_core.lazy import lazy_names

if TYPE_CHECKING:
    from agg2exp_core.attribution import attribute
    from agg2exp_core.errors import Agg2ExpError, ModelError, ScanError, StoreError, UsageError
    from agg2exp_core.importance import global_importance, local_importance
    from agg2exp_core.models import load_model, wrap_network
    from agg2exp_core.prediction import predict
    from agg2exp_core.store import open_store
    from agg2exp_core.volumes import load_scan

_HOMES = {
    "Agg2ExpError": "errors",
    "ModelError": "errors",
    "ScanError": "errors",
    "StoreError": "errors",
    "UsageError": "errors",
    "attribute": "attribution",
    "global_importance": "importance",
    "load_model": "models",
    "load_scan": "volumes",
    "local_importance": "importance",
    "open_store": "store",
    "predict": "prediction",
    "wrap_network": "models",
}

__all__ = [
    "Agg2ExpError",
    "ModelError",
    "ScanError",
    "StoreError",
    "UsageError",
    "attribute",
    "global_importance",
    "load_model",
    "load_scan",
    "local_importance",
    "open_store",
    "predict",
    "wrap_network",
]


__getattr__, __dir__ = lazy_names(__name__, _HOMES)
