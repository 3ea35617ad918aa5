"""Flow `pretrain`: an encoder that learns from scans without labels."""

from __future__ import annotations

from prefect import flow

from tasks.pretrain import Pretrained, pretrain_encoder
from tasks.pretrain_settings import PretrainSettings


@flow(name="pretrain", persist_result=False)
def pretrain(settings: PretrainSettings) -> Pretrained:
    """Pre-train an encoder.

    Parameters
    ----------
    settings : PretrainSettings
        What, and where.

    Returns
    -------
    Pretrained
        Where the encoder lies, and its scores.
    """
    return pretrain_encoder(settings)
