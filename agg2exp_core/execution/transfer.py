"""Between main memory and a GPU: nothing waits for a copy, nor a copy for what does not need it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

T = TypeVar("T")


def to_device(values: NDArray[Any], like: torch.Tensor) -> torch.Tensor:
    """Return an array as a tensor in the type and on the device of another, without waiting for a GPU."""
    tensor = torch.from_numpy(values)
    if like.device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(like, non_blocking=True)


def to_host(values: torch.Tensor) -> NDArray[Any]:
    """Return a tensor as an array: of a GPU a copy, through memory that it writes itself; else a view."""
    if values.device.type != "cuda":
        return np.asarray(values.cpu().numpy())
    pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return np.asarray(pinned.copy_(values).numpy())


def made_ahead(calls: Iterable[Callable[[], T]], device: torch.device) -> Iterator[T]:
    """Yield what each call returns, in order.

    Beside a GPU a thread makes the next one while the caller is at the last: noise is drawn by the
    CPU, whose cores are free then. Without one they are not, and each is made when it is asked for.
    """
    if device.type != "cuda":
        yield from (call() for call in calls)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="agg2exp-ahead") as thread:
        waiting: Future[T] | None = None
        for call in calls:
            following = thread.submit(call)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()
