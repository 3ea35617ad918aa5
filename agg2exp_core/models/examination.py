"""What a network does with windows that nobody has seen, looked at before anything is computed.

A few windows of noise show whether it repeats itself, whether it minds its neighbours in a pass, and whether
it gives logits. That holds for every way in: a program that was traced while it trained looks like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import torch

from agg2exp_core.errors import ModelError
from agg2exp_core.random import generator
from agg2exp_core.remarks import Remark, settled
from agg2exp_core.types import SegmentationModel

_REPEATED, _BESIDE = 1e-4, 1e-2
"""Differences that rounding may make, as a share of the largest logit: of one pass done twice, and of passes
of other sizes, which devices add up in another order."""
_WIDE = 1e3
"""Scale of the noise that shows whether logits have bounds."""
_SURE = 1e-2
_EXPORT = "export the network again in evaluation mode, after eval()"


@torch.no_grad()
def check_network(
    model: SegmentationModel, accept: Collection[str] = (), window_batch: int | None = None
) -> tuple[Remark, ...]:
    """Pass a few windows of noise through the network, so that what is wrong with it is known at once.

    Parameters
    ----------
    model : SegmentationModel
        The model.
    accept : collection of {"chance", "batch"}
        Doubts that do not refuse it.
    window_batch : int, optional
        Windows of a pass, where it is fixed: with 1 no window has a neighbour.

    Returns
    -------
    tuple of Remark
        What is doubtful about it, the remarks of its files first.

    Raises
    ------
    ModelError
        If the network refuses the channels or the window, gives other logits than its classes or none that
        are finite, or gives others each time or beside other windows.
    """
    noise = generator("examination").random((2, model.n_channels, *model.windows.shape))
    windows = torch.as_tensor(noise).to(device=model.device, dtype=model.dtype)
    one, other = windows[:1], windows[1:] * _WIDE
    logits = _passed(model, one)
    if not bool(torch.isfinite(logits).all()):
        raise ModelError(
            model.name,
            got="logits of noise in [0, 1] that are NaN or infinite",
            allowed="finite logits",
            remedy="check the weights, and the precision that the network computes in",
        )
    again = _passed(model, one)
    beside = None
    if window_batch != 1:
        try:
            beside = _passed(model, torch.cat([one, other]))
        except torch.OutOfMemoryError:
            beside = None
        except ModelError as error:
            raise ModelError(
                model.name,
                got=f"a network that takes one window at a time, not two ({error.got})",
                allowed="any number of windows [B, C, X, Y, Z]",
                remedy="give --window-batch 1, or export the network with a free size of the batch",
            ) from error
    found = _found(model, logits, again, beside)
    return (*model.remarks, *settled(found, model.name, ModelError, accept))


def _passed(model: SegmentationModel, windows: torch.Tensor) -> torch.Tensor:
    try:
        return model.logits(windows)
    except (ModelError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # networks raise whatever they like
        last = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise ModelError(
            model.name,
            got=f"a network that refuses a window {list(windows.shape)} ({last})",
            allowed="windows [B, C, X, Y, Z] with the channels and the size that its files state",
            remedy="correct n_channels or the window in the model's files",
        ) from error


def _found(
    model: SegmentationModel, logits: torch.Tensor, again: torch.Tensor, beside: torch.Tensor | None
) -> Iterator[Remark]:
    peak = float(logits.abs().max()) or 1.0
    coarse = torch.finfo(logits.dtype).bits < 32
    by_chance = float((logits - again).abs().max()) / peak
    if by_chance > _REPEATED * (100 if coarse else 1):
        yield Remark(
            "chance",
            f"a network that gives other logits each time, by {by_chance:.1%} of the largest: dropout or "
            "another random part is active",
            "a network in evaluation mode: the same logits for the same window",
            _EXPORT,
        )
    elif beside is not None:
        by_others = float((logits - beside[:1]).abs().max()) / peak
        if by_others > _BESIDE * (10 if coarse else 1):
            yield Remark(
                "batch",
                f"a network whose logits depend on the other windows of a pass, by {by_others:.1%} of the "
                "largest: its batch statistics are active",
                "a network in evaluation mode: logits of a window that are its own",
                _EXPORT,
            )
    yield from _no_logits(model, logits if beside is None else torch.cat([logits, beside]))


def _no_logits(model: SegmentationModel, logits: torch.Tensor) -> Iterator[Remark]:
    """Yield what shows that outputs ``[B, L, *window]`` are no logits."""
    own = logits[:, 1:] if bool((logits[:, 0] == 0).all()) else logits  # the background's logit is given as 0
    low, high = float(own.min()), float(own.max())
    bounded = low >= 0 and high <= 1
    if bounded and own.shape[1] > 1 and float((own.sum(dim=1) - 1).abs().max()) < _SURE / 10:
        activation, outputs = "softmax", "its outputs add up to 1"
    elif bounded and (low < _SURE or high > 1 - _SURE or _speaks_of(model.network, "sigmoid")):
        activation, outputs = "sigmoid", "all its outputs lie between 0 and 1"
    elif high <= 0 and float(torch.logsumexp(own.float(), dim=1).abs().max()) < _SURE / 10:
        activation, outputs = "log-softmax", "the exponentials of its outputs add up to 1"
    else:
        return
    yield Remark(
        "logits",
        f"the network seems to end in a {activation} ({outputs}): its classes are not told apart by logits, "
        "and what is explained are no logits",
    )


def _speaks_of(network: torch.nn.Module, operation: str) -> bool:
    """Return whether a network or a program has an operation by the look of it."""
    texts = [str(network)]
    for module in network.modules():
        for name in ("inlined_graph", "code"):  # of TorchScript, and of exported programs
            texts.append(str(getattr(module, name, "")))
    return operation in " ".join(texts).lower()
