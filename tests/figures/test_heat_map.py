"""The heat map shows every cell in its place, on the scale that it says."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from agg2exp_core.errors import UsageError
from agg2exp_core.figures import heat_map, to_png, to_svg


def panels(figure: Figure) -> list:
    return [ax for ax in figure.axes if ax.images]


def cells(figure: Figure) -> dict[tuple[str, str], str]:
    """Read the numbers off the picture by the labels of its axes."""
    rows = [label.get_text() for label in panels(figure)[0].get_yticklabels()]
    found = {}
    for ax in panels(figure):
        columns = [label.get_text() for label in ax.get_xticklabels()]
        for text in ax.texts:
            x, y = text.get_position()
            found[rows[round(y)], columns[round(x)]] = text.get_text()
    return found


def test_every_published_cell_is_in_its_place(published_mean: xr.DataArray):
    found = cells(heat_map(published_mean, title="t"))
    assert len(found) == 17 * 17
    for target in published_mean["target"].values:
        for roi in published_mean["roi"].values:
            share = float(published_mean.sel(target=target, roi=roi))
            shown = float(found[target.replace("_", " "), roi.replace("_", " ")])
            assert shown == pytest.approx(100 * share, abs=0.51 if share > 0.099 else 0.051)


def test_axes_in_the_other_order_draw_the_same(matrix: xr.DataArray):
    assert cells(heat_map(matrix, title="t")) == cells(heat_map(matrix.T, title="t"))


def test_background_has_its_own_scale(published_mean: xr.DataArray):
    background, inner = panels(heat_map(published_mean, title="t"))
    largest_inner = float(published_mean.drop_sel(roi="background").max())
    assert inner.images[0].norm.vmax == pytest.approx(largest_inner)
    assert background.images[0].norm.vmax > 0.8
    assert inner.images[0].norm(largest_inner / 4) == pytest.approx(0.5)  # the square root


def test_missing_values_are_hatched_and_explained(matrix: xr.DataArray):
    figure = heat_map(matrix, title="t")
    hatched = [p for ax in panels(figure) for p in ax.patches if isinstance(p, Rectangle) and p.get_hatch()]
    assert len(hatched) == int(matrix.isnull().sum())
    assert {round(p.get_y() + 0.5) for p in hatched} == {2}
    assert any("hatched" in text.get_text() for text in figure.texts)
    assert not any("hatched" in text.get_text() for text in heat_map(matrix[:2], title="t").texts)


def test_kinds_of_regions_stand_apart(matrix: xr.DataArray):
    columns = [
        [label.get_text() for label in ax.get_xticklabels()] for ax in panels(heat_map(matrix, title="t"))
    ]
    assert columns == [["background"], ["heart", "aorta"], ["vessels"], ["consolidation"]]


def test_signed_colours_are_symmetric(matrix: xr.DataArray):
    signed = matrix.copy()
    signed.loc[{"target": "heart"}] *= -1
    norm = panels(heat_map(signed, title="t", signed=True))[1].images[0].norm
    assert norm.vmin == -norm.vmax
    assert norm(0.0) == pytest.approx(0.5)
    assert norm(-0.1) + norm(0.1) == pytest.approx(1.0)


def test_values_with_a_unit_are_no_percentages(matrix: xr.DataArray):
    found = cells(heat_map((matrix * 20).assign_attrs(units="1/ml"), title="t"))
    assert float(found["heart", "aorta"]) == pytest.approx(2.0)


def test_numbers_that_do_not_fit_are_left_out(published: xr.Dataset):
    means = published["mean"].mean("scan").assign_attrs(units="1/voxel")
    assert not cells(heat_map(means * 1e9, title="t"))


def test_wide_matrices_keep_to_a_page_and_drop_numbers():
    names = [f"region_{i}" for i in range(90)]
    wide = xr.DataArray(
        np.full((90, 90), 1 / 90), dims=("target", "roi"), coords={"target": names, "roi": names}
    )
    figure = heat_map(wide, title="t")
    assert max(figure.get_size_inches()) < 27
    assert not cells(figure)


def test_an_empty_matrix_is_refused(matrix: xr.DataArray):
    with pytest.raises(UsageError, match="no value"):
        heat_map(matrix[2:], title="t")
    with pytest.raises(UsageError, match="axes"):
        heat_map(matrix.expand_dims(scan=2), title="t")


def test_bytes_are_pictures_and_repeatable(matrix: xr.DataArray):
    first, again = (to_png(heat_map(matrix, title="t")) for _ in range(2))
    assert first.startswith(b"\x89PNG")
    assert first == again
    assert to_svg(heat_map(matrix, title="t")).startswith(b"<?xml")
