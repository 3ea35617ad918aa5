"""What networks give becomes the logits of all classes: one output of several, a background, a mean."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch

from agg2exp_core.errors import ModelError, unknown_name

ACTIVATIONS: dict[str, str] = {
    "softmax": "argmax",
    "sigmoid": "argmax",
    "regions": "last_positive",
}
"""How logits compete, and the decision that follows: all classes exclude each other; each class has a logit
of its own and the background none; the same where a later class may lie inside an earlier one."""


def with_head(network: torch.nn.Module, activation: str, output: str | int | None) -> torch.nn.Module:
    """Return a network that gives one tensor of logits, background first.

    Parameters
    ----------
    network : torch.nn.Module
        A network that gives a tensor, tuple, list or mapping.
    activation : {"softmax", "sigmoid", "regions"}
        With the last two its channels are the classes without the background, whose logit is then 0: a voxel
        belongs to it where all others are negative, that is below a probability of one half.
    output : str, int or None
        Which item of a tuple, list or mapping; None for the first.

    Raises
    ------
    UsageError
        If there is no such activation.
    """
    if activation not in ACTIVATIONS:
        raise unknown_name("activation", activation, ACTIVATIONS)
    if activation == "softmax" and output is None:
        return network
    return _Head(network, activation != "softmax", output)


class _Head(torch.nn.Module):
    def __init__(self, network: torch.nn.Module, adds_background: bool, output: str | int | None) -> None:
        super().__init__()
        self.network = network
        self.adds_background = adds_background
        self.output = output

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Return logits ``[B, L, *window]``."""
        logits = self.network(windows)
        if self.output is not None:
            logits = _item(logits, self.output)
        elif isinstance(logits, Mapping):
            logits = next(iter(logits.values()))
        elif isinstance(logits, tuple | list):
            logits = logits[0]
        if self.adds_background:
            return torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1)
        return torch.as_tensor(logits)

    def extra_repr(self) -> str:
        """Say what tells this head from others: part of the model's identity."""
        return f"adds_background={self.adds_background}, output={self.output!r}"


class InItsOwnType(torch.nn.Module):
    """A network of a type that results cannot have: windows are cast to it, and logits to float32.

    Parameters
    ----------
    network : torch.nn.Module
        The network.
    dtype : torch.dtype
        Of its weights.
    """

    def __init__(self, network: torch.nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.dtype = dtype

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Return logits ``[B, L, *window]`` in float32."""
        logits = self.network(windows.to(self.dtype))
        if isinstance(logits, Mapping):
            logits = tuple(logits.values())
        if isinstance(logits, tuple | list):
            logits = logits[0]
        return torch.as_tensor(logits).float()


def _item(outputs: object, key: str | int) -> torch.Tensor:
    try:
        chosen: torch.Tensor = outputs[key]  # type: ignore[index]
    except (KeyError, IndexError, TypeError) as error:
        given = "a single output"
        if isinstance(outputs, Mapping):
            given = f"the outputs {', '.join(map(repr, outputs))}"
        elif isinstance(outputs, tuple | list):
            given = f"{len(outputs)} outputs"
        raise ModelError(
            "output",
            got=f"{key!r} of a network with {given}",
            allowed="the key or the place of one of several outputs",
            remedy="correct `output`, or leave it out for the first",
        ) from error
    return chosen


class MeanOfLogits(torch.nn.Module, ABC):
    """The mean of the logits of several members.

    Attributes
    ----------
    n_members : int
        How many there are.
    listener : callable, optional
        Told the number of each member and its logits ``[B, L, *window]``, while they are there.
    """

    n_members: int
    listener: Callable[[int, torch.Tensor], None] | None = None

    @abstractmethod
    def of_members(self, windows: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the logits of each member."""

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Return logits ``[B, L, *window]``."""
        total: torch.Tensor | None = None
        for number, logits in enumerate(self.of_members(windows)):
            if self.listener is not None:
                self.listener(number, logits)
            total = logits if total is None else total + logits
        assert total is not None
        return total / self.n_members


class MeanOfNetworks(MeanOfLogits):
    """An ensemble: the mean of the logits of its members.

    Blending is linear, so this is also the mean of their blended logits.
    """

    def __init__(self, networks: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        self.members = torch.nn.ModuleList(networks)
        self.n_members = len(networks)

    def of_members(self, windows: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the logits of each network."""
        return (member(windows.clone()) for member in self.members)  # it may change its input in place


class MeanOfFlips(MeanOfLogits):
    """A network on a window and its mirror images: the mean of the logits, mirrored back.

    Parameters
    ----------
    network : torch.nn.Module
        The network.
    axes : sequence of int
        Spatial axes of the window, 0 to 2; every combination of them is mirrored.
    """

    def __init__(self, network: torch.nn.Module, axes: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        dims = [axis + 2 for axis in axes]
        self.flips = [flip for n in range(1, len(dims) + 1) for flip in itertools.combinations(dims, n)]
        self.n_members = 1 + len(self.flips)

    def of_members(self, windows: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the logits of the window, and those of each mirror image, mirrored back."""
        yield self.network(windows.clone())  # it may change its input in place
        for flip in self.flips:
            yield torch.flip(self.network(torch.flip(windows, flip)), flip)

    def extra_repr(self) -> str:
        """Say what tells these flips from others: part of the model's identity."""
        return f"flips={self.flips}"
