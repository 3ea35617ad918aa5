"""Of which scans the model is unusually unsure: a plain sign of poor segmentations, beside the matrices."""

from __future__ import annotations

import xarray as xr


def find_unsure(entropy: xr.DataArray, reference: xr.DataArray | None, rate: float) -> xr.Dataset:
    """Compare the mean entropy of each scan's prediction with those of a reference cohort.

    The p-value is conformal, ``p = (1 + n reference scans at least as unsure) / (n + 1)``: if a scan is
    exchangeable with the reference, ``p <= rate`` happens at `rate` at most. Without a reference it is the
    share of scans at least as unsure, so that the most unsure ones are flagged, however sure they are.

    Parameters
    ----------
    entropy : DataArray with dimensions (scan, target)
        Mean entropy over the voxels of a class, in nats; NaN where it is absent or not known.
    reference : DataArray with dimensions (scan, target), optional
        The same of other scans by the same model.
    rate : float
        Share of exchangeable scans that are flagged, in (0, 1).

    Returns
    -------
    Dataset with dimension (scan)
        `entropy` (mean over the classes, nats), `p_entropy`, both NaN where nothing is known, and `unsure`.
    """
    ours = entropy.mean("target")
    others = (ours if reference is None else reference.mean("target")).dropna("scan")
    n_at_least = (others.rename(scan="other") >= ours).sum("other")
    n_added = 0 if reference is None else 1
    p_value = (n_added + n_at_least) / (n_added + others.sizes["scan"] or 1)
    p_value = p_value.where(ours.notnull() & (others.sizes["scan"] > 0))
    return xr.Dataset({"entropy": ours, "p_entropy": p_value, "unsure": p_value <= rate * (1 + 1e-12)})
