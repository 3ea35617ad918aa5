"""What windows cost: seconds and bytes of one, measured, and how many a network really passed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook

from agg2exp_core.types import SegmentationModel

_LEAST_REPEATS, _MOST_REPEATS = 3, 20
_SECONDS = 1.0


@dataclass(frozen=True)
class WindowCost:
    """The cost of passing one window through a network.

    Parameters
    ----------
    forward_seconds, backward_seconds : float
        Median wall time of a forward pass, and of one backward pass for one class.
    n_bytes : int
        Memory of a forward and a backward pass on top of the weights.
    """

    forward_seconds: float
    backward_seconds: float
    n_bytes: int


def measure_window(model: SegmentationModel) -> WindowCost:
    """Pass one window of noise forward and backward: once to warm up, then for a second, or 3 times.

    Notes
    -----
    On a GPU the bytes are the allocator's own peak. Elsewhere they are the tensors that the graph
    holds for the backward pass, and three times the largest of them for what lives while an
    operation runs: its input's and output's gradients and its own workspace.
    """
    with model.arithmetic():
        return _measured(model)


def _measured(model: SegmentationModel) -> WindowCost:
    shape = (1, model.n_channels, *model.windows.shape)
    window = torch.rand(shape, device=model.device, dtype=model.dtype)
    n_bytes = _peak_bytes(model, window)
    forward, backward = [], []
    started = time.perf_counter()
    for i in range(_MOST_REPEATS):
        if i >= _LEAST_REPEATS and time.perf_counter() - started > _SECONDS:
            break
        with torch.no_grad():
            forward.append(_seconds(model, lambda: model.logits(window)))
        with torch.enable_grad():
            # one class's gradient, as an attribution takes it
            inputs = window.clone().requires_grad_()
            logits = model.logits(inputs)
            upstream = torch.zeros_like(logits)
            upstream[:, 0] = 1
            _synchronize(model.device)
            backward.append(_seconds(model, lambda: torch.autograd.grad(logits, inputs, upstream)))  # noqa: B023
    return WindowCost(statistics.median(forward), statistics.median(backward), n_bytes)


def _seconds(model: SegmentationModel, work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    _synchronize(model.device)
    return time.perf_counter() - started


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak_bytes(model: SegmentationModel, window: torch.Tensor) -> int:
    on_gpu = model.device.type == "cuda"
    if on_gpu:
        before = torch.cuda.memory_allocated(model.device)
        torch.cuda.reset_peak_memory_stats(model.device)
    weights = {p.untyped_storage().data_ptr() for p in model.network.parameters()}
    held: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        inputs = window.clone().requires_grad_()
        logits = model.logits(inputs)
        torch.autograd.grad(logits, inputs, torch.ones_like(logits))
    if on_gpu:
        return int(torch.cuda.max_memory_allocated(model.device) - before)
    logit_bytes = logits.nbytes
    largest = max([*held.values(), logit_bytes])
    return sum(held.values()) + 2 * logit_bytes + 3 * largest


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
