"""From the rows of scans to the matrices of the cohort: what is new is added, what changed is put right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import xarray as xr

from agg2exp_core.importance import global_importance, names_of, stack_scans
from agg2exp_core.store import Matrices, MatricesWriter, Rows, Store

SUMMARISED = "mass"
"""The variable whose summary over scans is stored."""
_TOGETHER = 512
"""Rows that are fetched together, and that are held from their first reading to their second."""


def bring_up_to_date(store: Store, label: str, wanted: Mapping[str, str]) -> None:
    """Let ``importance.zarr`` of a label hold the rows that are wanted, and their summary.

    What is held is not read again. New scans are added at the end; where others changed or went, or where new
    ones bring classes or regions, all are written anew. Memory holds a block of scans, and what
    `global_importance` needs. Where nothing is new, nothing is written.

    Parameters
    ----------
    store : Store
        The store; the caller is the one who reduces.
    label : str
        Which results.
    wanted : mapping of str to str
        Identity of the rows by scan id; one or more.

    Raises
    ------
    UsageError
        If a region has another kind than in other scans.
    StoreError
        If rows went away meanwhile.
    """
    held = store.matrices(label)
    identities = held.identities()
    if identities == wanted:
        return
    order = [scan for scan in identities if scan in wanted] + [s for s in wanted if s not in identities]
    known = {scan: n for n, scan in enumerate(identities) if wanted.get(scan) == identities[scan]}
    all_stay = len(known) == len(identities)
    blocks = _Blocks(
        held, known, all_stay, store.rows(label), {s: wanted[s] for s in order if s not in known}
    )
    like = blocks.stacked([scan for scan in order if scan not in known][:1] or order[:1])
    only_adds = all_stay and blocks.has_names_of_held
    writer = MatricesWriter(held, like, len(order), len(known) if only_adds else 0)
    for start, stop in writer.blocks():
        writer.write(start, blocks.stacked(order[start:stop]))
    lazy = xr.Dataset({SUMMARISED: (("scan", "target", "roi"), writer.variable(SUMMARISED))})
    summary = global_importance(lazy.assign_coords(like.drop_vars("scan").coords).assign_coords(scan=order))
    writer.publish(order, [wanted[scan] for scan in order], summary)


class _Blocks:
    """The matrices of any scans: from those that are held, and from rows.

    Parameters
    ----------
    held : Matrices
        What is held.
    known : mapping of str to int
        Where the scans lie there that stay as they are.
    all_stay : bool
        Whether those are all.
    rows : Rows
        Those of the label.
    fresh : mapping of str to str
        Identities of the rows of the other scans.
    """

    def __init__(
        self, held: Matrices, known: Mapping[str, int], all_stay: bool, rows: Rows, fresh: Mapping[str, str]
    ) -> None:
        self._known, self._rows, self._fresh = known, rows, fresh
        self._held = held.open() if known else None
        names = _names_held(self._held, None if all_stay else list(known.values()))
        self._loaded: dict[str, xr.Dataset] = {}
        for some in _batches(list(fresh)):
            self._loaded = self._read(some)
            names = names_of(self._loaded, *names)
        self._targets, self._kinds = names
        self.has_names_of_held = names == _names_held(self._held, None) if known else False

    def stacked(self, scans: Sequence[str]) -> xr.Dataset:
        """Return the matrices of some scans, dimensions (scan, target, roi)."""
        parts = []
        if self._held is not None and (
            places := [self._known[scan] for scan in scans if scan in self._known]
        ):
            one_after_the_other = places == list(range(places[0], places[0] + len(places)))
            found = self._held.isel(scan=slice(places[0], places[-1] + 1) if one_after_the_other else places)
            parts.append(self._reindexed(found.load()))
        if new := [scan for scan in scans if scan in self._fresh]:
            if not self._loaded.keys() >= set(new):
                self._loaded = self._read(new)
            rows = {scan: self._loaded[scan] for scan in new}
            parts.append(stack_scans(rows, self._targets, self._kinds))
        if len(parts) == 1:
            return parts[0]
        both = xr.concat(parts, "scan", join="exact", data_vars="all", coords="minimal", compat="override")
        return both.sel(scan=list(scans))

    def _read(self, scans: Iterable[str]) -> dict[str, xr.Dataset]:
        return self._rows.read({scan: self._fresh[scan] for scan in scans})

    def _reindexed(self, found: xr.Dataset) -> xr.Dataset:
        kinds = {"roi_kind": ("roi", np.array(list(self._kinds.values()), dtype=str))}
        names = {"target": self._targets, "roi": list(self._kinds)}
        return found.drop_vars("roi_kind").reindex(names, fill_value={"n_voxels": 0}).assign_coords(kinds)


def _names_held(held: xr.Dataset | None, places: Sequence[int] | None) -> tuple[list[str], dict[str, str]]:
    """Return targets, and regions with their kinds; without masks of which none of some scans has a voxel."""
    if held is None:
        return [], {}
    kinds = dict(zip(held["roi"].values.tolist(), held["roi_kind"].values.tolist(), strict=True))
    if places is not None:
        has_voxels: list[bool] = np.any(held["n_voxels"].values[places] > 0, axis=0).tolist()
        kinds = {
            roi: kind
            for (roi, kind), some in zip(kinds.items(), has_voxels, strict=True)
            if some or kind != "extra"
        }
    return held["target"].values.tolist(), kinds


def _batches(scans: list[str]) -> Iterable[list[str]]:
    return (scans[n : n + _TOGETHER] for n in range(0, len(scans), _TOGETHER))
