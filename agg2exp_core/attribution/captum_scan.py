"""The sliding-window model as Captum wants it: a number for each scan of a batch, and its gradient.

Both come from the engine, window by window, so that no method needs the graph of the whole scan.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch

from agg2exp_core.attribution.engine import Problem
from agg2exp_core.attribution.noise import random_bits


class _Output(torch.autograd.Function):
    """The aggregated output of a class for each scan of a batch; its gradient is made with it."""

    @staticmethod
    def forward(ctx: Any, images: torch.Tensor, problem: Problem, class_index: int) -> torch.Tensor:
        if not images.requires_grad:
            return torch.cat([problem.outputs(image, [class_index]) for image in images]).to(images.device)
        made = [problem.gradients_and_outputs(image, [class_index]) for image in images.detach()]
        ctx.save_for_backward(torch.cat([gradient for gradient, _ in made]))  # [B, C, X, Y, Z]
        return torch.cat([output for _, output in made])  # [B]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradients,) = ctx.saved_tensors
        return gradients * upstream.to(gradients)[:, None, None, None, None], None, None


class WholeModel(torch.nn.Module):
    """The aggregated output of a class, ``[B]`` from scans ``[B, C, X, Y, Z]``."""

    def __init__(self, problem: Problem, class_index: int) -> None:
        super().__init__()
        self.network = problem.model.network  # whose modules some methods hook into
        self.problem, self.class_index = problem, class_index

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the output of each scan, float64 ``[B]``."""
        outputs = _Output.apply(images, self.problem, self.class_index)  # type: ignore[no-untyped-call]
        return cast(torch.Tensor, outputs)


@contextmanager
def seeded(*address: object) -> Iterator[None]:
    """Let the global generators, which Captum draws from, be a pure function of an address."""
    seed = int(random_bits(1, *address)[0])
    state = np.random.get_state()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed >> 1)
            np.random.seed(seed & 0xFFFFFFFF)
            yield
    finally:
        np.random.set_state(state)
