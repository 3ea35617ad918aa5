"""What was found about attributions: output drops of perturbed scans, and scores; each has an identity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agg2exp_core.store.keys import check_name
from agg2exp_core.store.store import Store

_BLOCK = 25
"""Rows of output drops that are kept under one key: what a killed run loses at most."""


@dataclass(frozen=True, eq=False)
class Evaluations:
    """The evaluations of one scan in a store.

    Parameters
    ----------
    store : Store
        The store.
    scan_id : str
        The scan.
    """

    store: Store
    scan_id: str

    def output_drops(
        self, identity: str, n: int, make: Callable[[int, int], NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Return the first n rows of output drops; what is not stored is made and stored, block by block.

        Parameters
        ----------
        identity : str
            What they depend on.
        n : int
            Rows.
        make : callable
            From first and last row to the output drops ``[stop - start, L]``.
        """
        parts = []
        for start in range(0, n, _BLOCK):
            stop = min(start + _BLOCK, n)
            key = f"{self._folder('falls')}/{check_name('identity', identity)}/{start}.json"
            rows = np.array(self.store.root.get_json(key) or [], dtype=np.float64)
            if len(rows) < stop - start:
                made = make(start + len(rows), stop)
                rows = np.concatenate([rows, made]) if len(rows) else made
                self.store.root.put_json(key, rows)
            parts.append(rows[: stop - start])
        return np.concatenate(parts)

    def write_scores(self, label: str, metric: str, identity: str, record: Mapping[str, Any]) -> None:
        """Store the scores of a method and metric, in place of earlier ones."""
        self.store.root.put_json(self._key(label, metric), {"identity": identity, **record})

    def scores(self, label: str, metric: str, identity: str | None = None) -> dict[str, Any] | None:
        """Return the stored scores, of an identity if one is given; None if there are none."""
        found = self.store.root.get_json(self._key(label, metric))
        return found if found and identity in (None, found["identity"]) else None

    def all_scores(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return all stored scores by label and metric."""
        folder, root = self._folder("scores"), self.store.root
        found = {
            (label, name.removesuffix(".json")): root.get_json(f"{folder}/{label}/{name}")
            for label in root.children(folder)
            for name in root.children(f"{folder}/{label}")
        }
        return {key: record for key, record in found.items() if record is not None}

    def _folder(self, kind: str) -> str:
        return f"benchmark/{kind}/{check_name('scan', self.scan_id)}"

    def _key(self, label: str, metric: str) -> str:
        return f"{self._folder('scores')}/{check_name('label', label)}/{check_name('metric', metric)}.json"
