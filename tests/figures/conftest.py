"""The published table, and a matrix with an answer for every cell."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.paper_table import over_scans, published_local


@pytest.fixture(scope="session")
def published(real_data: Path) -> xr.Dataset:
    return published_local(real_data)


@pytest.fixture(scope="session")
def published_mean(published: xr.Dataset) -> xr.DataArray:
    return over_scans(published)["mean"]


@pytest.fixture
def matrix() -> xr.DataArray:
    """Three classes, the third absent, over these, a union and an extra region."""
    names = ["background", "heart", "aorta"]
    values = [[0.8, 0.15, 0.05, 0.2, 0.01], [0.6, 0.3, 0.1, 0.4, 0.02], [np.nan] * 5]
    return xr.DataArray(
        values,
        dims=("target", "roi"),
        coords={
            "target": names,
            "roi": [*names, "vessels", "consolidation"],
            "roi_kind": ("roi", ["class"] * 3 + ["merged", "extra"]),
        },
    )
