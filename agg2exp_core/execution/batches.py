"""Which windows pass the network together, so that few of them pass backward for nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_FULL = 0.9
"""Of the backward passes that the first window of a batch takes, those that each of the others takes too."""


def alike(n_passes: Sequence[int], most: int) -> Iterator[list[int]]:
    """Cut windows into batches of which all take about as many backward passes.

    A batch passes backward as often as the window of it that takes most: there, each of the others
    passes for nothing once its own classes are through.

    Parameters
    ----------
    n_passes : sequence of int
        Backward passes that each window takes; one that takes none is left out.
    most : int
        Windows of a batch; with 1 they keep their order.

    Yields
    ------
    list of int
        Which windows: those that take most come first, like ones in their order.
    """
    order = [i for i, n in enumerate(n_passes) if n]
    if most > 1:
        order.sort(key=lambda i: -n_passes[i])
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) == most or n_passes[i] < _FULL * n_passes[batch[0]]):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
