"""Flows `train`, `pretrain` and `compare-models`: networks that learn, and which of them is best."""

from __future__ import annotations

from prefect import flow, get_run_logger

from agg2exp.flows.places import require_places
from agg2exp.tasks.train import fit, score_model, tabulate_scores
from agg2exp_core.training.fitting import TrainingResult
from agg2exp_core.training.settings import CompareSettings, PretrainSettings, TrainSettings, with_weights


@flow(name="train", persist_result=False)
def train(settings: TrainSettings, cross_entropy_weights: list[float] | None = None) -> list[TrainingResult]:
    """Train a network, or one for each weight of the cross-entropy in the loss, one after the other.

    Parameters
    ----------
    settings : TrainSettings
        What is trained, and where.
    cross_entropy_weights : list of float, optional
        In place of the configuration's; each of several gets a folder of its own.

    Returns
    -------
    list of TrainingResult
        In the order of the weights.
    """
    require_places(settings)
    trained = [fit(run) for run in with_weights(settings, cross_entropy_weights or [])]
    best = max(trained, key=lambda result: result.best["dice"])
    get_run_logger().info("best validation Dice %.3f: %s", best.best["dice"], best.path)
    return trained


@flow(name="pretrain", persist_result=False)
def pretrain(settings: PretrainSettings) -> TrainingResult:
    """Teach an encoder from scans without labels.

    Parameters
    ----------
    settings : PretrainSettings
        What, and where.

    Returns
    -------
    TrainingResult
        Where the encoder lies, and its scores.
    """
    require_places(settings)
    return fit(settings)


@flow(name="compare-models", persist_result=False)
def compare_models(settings: CompareSettings) -> str:
    """Score every model on the test scans, compare them as the paper's Table 3 does; return it as Markdown.

    Parameters
    ----------
    settings : CompareSettings
        The models and their scans.
    """
    require_places(settings)
    scored = [score_model(settings, name, ref) for name, ref in settings.models.items()]
    return tabulate_scores(settings, scored)
