"""Flow `train`: a network for each weight of the cross-entropy, and which of them is best."""

from __future__ import annotations

from prefect import flow, get_run_logger

from tasks.train import Trained, fit
from tasks.train_settings import TrainSettings, with_weights


@flow(name="train", persist_result=False)
def train(settings: TrainSettings, cross_entropy_weights: list[float] | None = None) -> list[Trained]:
    """Train a network, or one for each weight of the cross-entropy in the loss, one after the other.

    Parameters
    ----------
    settings : TrainSettings
        What is trained, and where.
    cross_entropy_weights : list of float, optional
        In place of the configuration's; each of several gets a folder of its own.

    Returns
    -------
    list of Trained
        In the order of the weights.
    """
    trained = [fit(run) for run in with_weights(settings, cross_entropy_weights or [])]
    best = max(trained, key=lambda one: one.dice)
    get_run_logger().info("best validation Dice %.3f: %s", best.dice, best.out)
    return trained
