"""Flow `train`: a network for each weight of the cross-entropy, and which of them is best."""

from __future__ import annotations

from prefect import flow, get_run_logger

from tasks.train import Trained, fit
from tasks.train_settings import TrainSettings


@flow(name="train", persist_result=False)
def train(runs: list[TrainSettings]) -> list[Trained]:
    """Train networks one after the other.

    Parameters
    ----------
    runs : list of TrainSettings
        Each with a folder of its own.

    Returns
    -------
    list of Trained
        In the order of the runs.
    """
    trained = [fit(settings) for settings in runs]
    best = max(trained, key=lambda one: one.dice)
    get_run_logger().info("best validation Dice %.3f: %s", best.dice, best.out)
    return trained
