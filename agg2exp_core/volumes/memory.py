"""What fits in memory, asked before anything is allocated."""

from __future__ import annotations

import psutil

from agg2exp_core.errors import ScanError


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
        If `n_bytes` exceeds the memory that is available now.
    """
    available = psutil.virtual_memory().available
    if n_bytes > available:
        raise ScanError(
            where,
            got=f"{purpose}, which needs {n_bytes / 1e9:,.1f} GB of memory",
            allowed=f"at most the {available / 1e9:,.1f} GB that are available",
            remedy="check that the header is right, then crop the scan or use a machine with more memory",
        )
