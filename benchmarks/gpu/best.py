"""How far the default is from the best that the card can do with the same network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch

from agg2exp_core.arithmetic import arithmetic
from benchmarks.gpu.cases import Bench
from benchmarks.timing import Row, once

N_BACKWARD = 6
"""Classes of a window."""
N_REPEATS = 5
Pass = Callable[[], object]


@contextmanager
def any_kernels(bench: Bench, tf32: bool) -> Iterator[None]:
    """Let PyTorch take the fastest kernels, whatever bits they give."""
    with arithmetic(torch.device(bench.device), tf32=tf32):
        if bench.device == "cpu":
            yield
            return
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = False, True
        yield


def passing(network: Callable[[torch.Tensor], torch.Tensor], window: torch.Tensor, precision: str) -> Pass:
    """Return a pass forward and `N_BACKWARD` backward."""

    def work() -> object:
        inputs = window.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        mixed = torch.autocast(window.device.type, getattr(torch, precision)) if precision else nullcontext()
        with torch.enable_grad(), mixed:
            logits = network(inputs)
        logits = logits[0] if isinstance(logits, list | tuple) else logits
        upstream = torch.ones_like(logits)
        for r in range(N_BACKWARD):
            (gradient,) = torch.autograd.grad(logits, inputs, upstream, retain_graph=r + 1 < N_BACKWARD)
        return gradient

    return work


def graphed(bench: Bench, work: Pass) -> Pass:
    """Return the same as a CUDA graph."""
    if bench.device != "cuda":
        return work
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def rows(bench: Bench, name: str, limit_s: float) -> list[Row]:
    """Return milliseconds a window by way and windows in a pass, and the default over the best."""
    model = bench.case(name).model
    layout = torch.channels_last_3d
    last = bench.case(name).model.network.to(memory_format=layout)  # type: ignore[call-overload]
    ways: dict[str, tuple[object, torch.memory_format, str, bool, bool]] = {
        "any float32 kernels": (model.network, torch.contiguous_format, "", False, False),
        "TF32": (model.network, torch.contiguous_format, "", True, False),
        "TF32, channels last": (last, layout, "", True, False),
        "TF32, CUDA graph": (model.network, torch.contiguous_format, "", True, True),
        "bfloat16": (model.network, torch.contiguous_format, "bfloat16", True, False),
        "bfloat16, channels last": (last, layout, "bfloat16", True, False),
        "TF32, compiled": (torch.compile(model.network), torch.contiguous_format, "", True, False),
        "bfloat16, channels last, compiled": (torch.compile(last), layout, "bfloat16", True, False),
    }
    if bench.small:
        ways = {key: way for key, way in ways.items() if "compiled" not in key}
    found, best = [], {"float32": float("inf"), "all": float("inf")}
    default = float("inf")
    spent = 0.0
    for n_windows in (1, 2, 4):
        window = torch.rand((n_windows, 1, *model.windows.shape), device=bench.device)
        with model.arithmetic():
            ms = milliseconds(bench, passing(model.network, window, ""), n_windows)
        default = min(default, ms)
        found.append(once(f"{name}: ms a window, {n_windows} in a pass, as it is", ms))
        for key, (network, memory_format, precision, tf32, graph) in ways.items():
            if spent > limit_s:
                print(f"{name}: time is over before {key}, {n_windows} windows")
                break
            shaped = window.to(memory_format=memory_format)
            try:
                with any_kernels(bench, tf32):
                    work = passing(network, shaped, precision)  # type: ignore[arg-type]
                    spent += bench.seconds(work)
                    ms = milliseconds(bench, graphed(bench, work) if graph else work, n_windows)
            except Exception as error:  # one way that fails is told, and the others go on
                print(f"{name}: {key}, {n_windows} windows: {str(error).splitlines()[0]}")
                continue
            spent += ms * n_windows * N_REPEATS / 1000
            found.append(once(f"{name}: ms a window, {n_windows} in a pass, {key}", ms))
            best["all"] = min(best["all"], ms)
            if not (tf32 or precision):
                best["float32"] = min(best["float32"], ms)
    best["all"] = min(best["all"], default)
    return [
        *found,
        once(
            f"{name}: the default over the best in float32",
            default / min(best["float32"], default),
            at_most=1.3,
        ),
        once(f"{name}: the default over the best of all", default / best["all"], at_most=1.3),
    ]


def milliseconds(bench: Bench, work: Pass, n_windows: int) -> float:
    """Return the milliseconds of a window, the least of some repeats."""
    work()
    return min(bench.seconds(work) for _ in range(N_REPEATS)) * 1000 / n_windows
