"""Deployments of training: on request, where the extra for it is installed."""

from __future__ import annotations

from prefect.deployments.runner import RunnerDeployment

from agg2exp.deployments.deployment import deployed
from agg2exp.flows.batch import PARTS_POOL
from agg2exp.flows.train import compare_models, pretrain, train
from agg2exp_core.training import read_config, read_pretraining_config

NETWORK, ENCODER = "swin_unetr_v2", "swin_encoder"
"""Configurations that the forms show; a run names its folder, and changes what it wants."""


def trained() -> list[RunnerDeployment]:
    """Return the deployments that train networks and encoders, and compare models."""
    network = read_config(NETWORK).model_dump(mode="json")
    encoder = read_pretraining_config(ENCODER).model_dump(mode="json")
    return [
        deployed(
            train,
            "train",
            "Train a network, or go on with a training that was interrupted.",
            queue="backfill",
            pool=PARTS_POOL,
            parameters={"settings": {"config": network}},
        ),
        deployed(
            pretrain,
            "pretrain",
            "Pre-train a Swin encoder on scans without labels, or go on.",
            queue="backfill",
            pool=PARTS_POOL,
            parameters={"settings": {"config": encoder}},
        ),
        deployed(
            compare_models,
            "compare-models",
            "Score models on the same scans, and test whether they differ.",
            queue="backfill",
            pool=PARTS_POOL,
        ),
    ]
