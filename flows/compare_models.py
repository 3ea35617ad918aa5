"""Flow `compare-models`: models on the same scans, as the paper's Table 3."""

from __future__ import annotations

from prefect import flow

from tasks.train_compare import score, tabulate
from tasks.train_settings import CompareSettings


@flow(name="compare-models", persist_result=False)
def compare_models(settings: CompareSettings) -> str:
    """Score every model on the test scans, compare them; return the table as Markdown.

    Parameters
    ----------
    settings : CompareSettings
        The models and their scans.
    """
    return tabulate(settings, [score(settings, name, ref) for name, ref in settings.models.items()])
