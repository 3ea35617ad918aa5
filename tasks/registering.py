"""What a store says that its results are of."""

from __future__ import annotations

from dataclasses import asdict

from agg2exp_core.store import Store
from agg2exp_core.types import SegmentationModel
from tasks.settings import ExplainSettings


def register(store: Store, model: SegmentationModel, settings: ExplainSettings) -> None:
    """Say in the store which model and which method its results are of.

    Raises
    ------
    StoreError
        If it holds another model, or other parameters under the label.
    """
    store.register_model(
        {
            "name": model.name,
            "fingerprint": model.fingerprint,
            "class_names": list(model.class_names),
            "n_channels": model.n_channels,
            "windows": asdict(model.windows),
            "preprocessing": dict(model.preprocessing.describe()),
            "decision": model.decision,
            "origin": dict(model.origin),
        }
    )
    recipe = settings.recipe
    beside = {name: value for name, value in recipe.items() if name not in ("method", "params")}
    store.register_label(settings.result_label, recipe["method"], {**recipe["params"], **beside})
