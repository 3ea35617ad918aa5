"""What is pre-trained: plain data, checked before anything starts."""

from __future__ import annotations

from dataclasses import dataclass

from agg2exp_core.training import PretrainingConfig


@dataclass(frozen=True)
class PretrainSettings:
    """What is pre-trained, and where.

    Parameters
    ----------
    config : PretrainingConfig
        What.
    out : str
        Folder of the checkpoint, the curves and the encoder.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    n_devices : int
        How many of them.
    """

    config: PretrainingConfig
    out: str
    device: str = "auto"
    n_devices: int = 1
