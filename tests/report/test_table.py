"""The terminal table: every value, within 80 columns."""

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from agg2exp_core.errors import UsageError
from agg2exp_core.report import matrix_table
from tests.paper_table import over_scans, published_local


def printed(matrix: xr.DataArray, **options) -> list[str]:
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(matrix_table(matrix, **options))
    return capture.get().splitlines()


@pytest.mark.parametrize("digits", [2, 3, 5])
def test_every_published_value_is_printed(real_data: Path, digits: int):
    mean = over_scans(published_local(real_data))["mean"]
    lines = printed(mean, digits=digits)
    for target in mean["target"].values:
        rows = [line for line in lines if re.match(rf" ?{target.replace('_', ' ')} +[\d.]", line)]
        shown = [float(text) for row in rows for text in re.findall(r"[\d.]+", row)]
        np.testing.assert_allclose(
            shown, 100 * mean.sel(target=target).values, atol=0.51 * 10.0 ** (2 - digits)
        )


def test_words_are_cut_and_regions_spelled_out():
    matrix = xr.DataArray(
        [[0.5, np.nan]],
        dims=("target", "roi"),
        coords={"target": ["heart"], "roi": ["heart", "consolidation"]},
    )
    lines = printed(matrix)
    assert any("cons." in line and "heart" in line for line in lines)
    assert any("cons. = consolidation" in line for line in lines)
    assert any("50.0" in line and "\N{EN DASH}" in line for line in lines)


def test_many_regions_keep_to_the_width():
    names = [f"a_region_number_{i}" for i in range(79)]
    matrix = xr.DataArray(
        np.full((2, 79), 1 / 79), dims=("target", "roi"), coords={"target": names[:2], "roi": names}
    )
    text = "\n".join(printed(matrix))
    assert text.count("1.3") == 2 * 79


def test_other_axes_are_refused():
    matrix = xr.DataArray(np.ones((1, 1, 1)), dims=("scan", "target", "roi"))
    with pytest.raises(UsageError, match="axes"):
        matrix_table(matrix)
