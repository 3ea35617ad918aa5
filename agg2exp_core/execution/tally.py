"""How many windows a network really passed, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook

from agg2exp_core.types import SegmentationModel


@dataclass
class Tally:
    """Windows that passed a network.

    Parameters
    ----------
    forward : int
        Windows that passed forward: of a call with B windows, B.
    backward : int
        Windows that passed backward: of a call, those whose upstream gradient is not zero throughout.
    """

    forward: int = 0
    backward: int = 0


@contextmanager
def counted(model: SegmentationModel) -> Iterator[tuple[SegmentationModel, Tally]]:
    """Count the windows that pass a model's network, whoever calls it, while the context is open.

    Parameters
    ----------
    model : SegmentationModel
        The model; its numbers and its identity stay what they are.

    Yields
    ------
    model : SegmentationModel
        The same model.
    tally : Tally
        The counts so far; they stay readable afterwards.
    """
    tally = Tally()

    def count_backward(upstream: torch.Tensor) -> None:
        tally.backward += int(upstream.flatten(1).any(dim=1).sum())

    def count_forward(network: torch.nn.Module, args: tuple[Any, ...], logits: torch.Tensor) -> None:
        if network is not model.network:
            return
        tally.forward += len(logits)
        if logits.requires_grad:
            logits.register_hook(count_backward)

    hook = register_module_forward_hook(count_forward)  # of all modules: TorchScript's take none of their own
    try:
        yield model, tally
    finally:
        hook.remove()
