"""The graph holds the strongest contributions, and no label covers another."""

from itertools import combinations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyArrowPatch

from agg2exp_core.figures import contribution_graph, semantic_graph, to_png
from agg2exp_core.figures.contributions import circle_order
from agg2exp_core.labels import group_of


def slow_edges(matrix: xr.DataArray, top: int) -> dict[tuple[str, str], float]:
    """Pick the largest contribution `top` times, cell by cell."""
    edges = {}
    for target in matrix["target"].values:
        if target == "background":
            continue
        row = {
            str(roi): float(matrix.sel(target=target, roi=roi))
            for roi in matrix["roi"].values
            if roi != "background"
        }
        row = {roi: value for roi, value in row.items() if not np.isnan(value)}
        total = sum(row.values())
        row.pop(str(target), None)
        for _ in range(min(top, len(row))):
            best = max(row, key=row.__getitem__)
            edges[best, str(target)] = row.pop(best) / total
    return edges


def edges_of(graph) -> dict[tuple[str, str], float]:
    return {(source, target): weight for source, target, weight in graph.edges.data("weight")}


@pytest.mark.parametrize("top", [1, 3])
def test_edges_of_the_published_matrix(published_mean: xr.DataArray, top: int):
    assert edges_of(contribution_graph(published_mean, top=top)) == pytest.approx(
        slow_edges(published_mean, top)
    )


@given(seed=st.integers(0, 10_000), n=st.integers(2, 8), top=st.integers(1, 4))
@settings(deadline=None, max_examples=30)
def test_edges_of_any_matrix(seed: int, n: int, top: int):
    rng = np.random.default_rng(seed)
    names = ["background", *(f"c{i}" for i in range(n - 1))]
    values = rng.dirichlet(np.ones(n), n)
    values[rng.random((n, n)) < 0.2] = np.nan
    values[0, 0] = 1.0
    matrix = xr.DataArray(values, dims=("target", "roi"), coords={"target": names, "roi": names})
    assert edges_of(contribution_graph(matrix, top=top)) == pytest.approx(slow_edges(matrix, top))


def test_merged_regions_and_absent_classes_stay_out(matrix: xr.DataArray):
    graph = contribution_graph(matrix)
    assert edges_of(graph) == pytest.approx(
        {("aorta", "heart"): 0.1 / 0.4, ("consolidation", "heart"): 0.02 / 0.4}
    )
    assert graph.nodes["heart"]["own"] == pytest.approx(0.3 / 0.4)
    assert np.isnan(graph.nodes["aorta"]["own"])
    assert set(graph) == {"heart", "aorta", "consolidation"}


def test_groups_stand_together_on_the_circle(published_mean: xr.DataArray):
    graph = contribution_graph(published_mean)
    groups = [group_of(name) for name in circle_order(graph)]
    changes = sum(a != b for a, b in zip(groups, groups[1:] + groups[:1], strict=True))
    assert changes == len(set(groups)) == 4
    assert circle_order(graph) == circle_order(contribution_graph(published_mean[::-1, ::-1]))


def test_width_grows_with_weight_and_every_edge_is_drawn(published_mean: xr.DataArray):
    figure = semantic_graph(published_mean, title="t")
    arrows = [p for p in figure.axes[0].patches if isinstance(p, FancyArrowPatch)]
    weights = sorted(slow_edges(published_mean, 3).values())
    widths = sorted(arrow.get_linewidth() for arrow in arrows)
    assert len(widths) == len(weights) == 48
    np.testing.assert_allclose(np.array(widths) / widths[-1], np.array(weights) / weights[-1], atol=0.06)


def test_no_label_covers_another(published_mean: xr.DataArray):
    figure = semantic_graph(published_mean, title="t")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # places the legends
    renderer = canvas.get_renderer()
    texts = [*figure.axes[0].texts, *figure.texts, *(t for box in figure.legends for t in box.get_texts())]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts]
    for (one, a), (other, b) in combinations(boxes, 2):
        assert not a.overlaps(b), f"{one!r} and {other!r}"
    for text, box in boxes:
        assert figure.bbox.contains(box.x0, box.y0), text
        assert figure.bbox.contains(box.x1, box.y1), text


def test_a_model_of_one_class_and_background_is_drawn():
    names = ["background", "organ"]
    matrix = xr.DataArray(
        [[0.9, 0.1], [0.6, 0.4]], dims=("target", "roi"), coords={"target": names, "roi": names}
    )
    assert to_png(semantic_graph(matrix, title="t")).startswith(b"\x89PNG")
