"""How much memory is free, and what is refused before anything is allocated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import psutil

from agg2exp_core.errors import ScanError

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = ("memory.max", "memory.current", "inactive_file")
"""The files of limit and usage, and the entry of ``memory.stat`` that says what the kernel can reclaim."""


def free_bytes() -> int:
    """Return the main memory that is free now: of the machine, and within every limit of a container."""
    return min([int(psutil.virtual_memory().available), *cgroup_bytes()])


def cgroup_bytes(mounted: Path = _CGROUPS, own: Path = _OWN_CGROUPS) -> Iterator[int]:
    """Yield what each memory limit over this process leaves: of its control group and of those above it.

    Page cache that is not in use counts as free, as the kernel reclaims it before it refuses memory.

    Parameters
    ----------
    mounted : Path
        Where control groups of version 1 or 2 are mounted.
    own : Path
        What lists those of this process.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, files = (mounted / "memory", _V1) if controllers else (mounted, _V2)
        # A container may see the host's path, of which its own mount has nothing but the top.
        parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
        for depth in range(len(parts), -1, -1):
            yield from _left(top.joinpath(*parts[:depth]), *files)


def _left(group: Path, limit: str, usage: str, reclaimable: str) -> Iterator[int]:
    """Yield what is left of the limit of one group, if it has one."""
    try:
        most, used = (group / limit).read_text().strip(), int((group / usage).read_text())
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except OSError:
        return
    if most.isdecimal():  # "max" is none
        yield max(int(most) - used + int(stat.get(reclaimable, 0)), 0)


def require_memory(where: str, n_bytes: float, purpose: str) -> None:
    """Refuse work that this machine has no memory for.

    Parameters
    ----------
    where : str
        The file at fault, for the message.
    n_bytes : float
        Predicted peak of the work.
    purpose : str
        What the memory is for, as a noun phrase that names the sizes.

    Raises
    ------
    ScanError
        If `n_bytes` exceeds the memory that is free now.
    """
    free = free_bytes()
    if n_bytes > free:
        raise ScanError(
            where,
            got=f"{purpose}, which needs {n_bytes / 1e9:,.1f} GB of memory",
            allowed=f"at most the {free / 1e9:,.1f} GB that are available",
            remedy="check that the header is right, then crop the scan or use a machine with more memory",
        )
