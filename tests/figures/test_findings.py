"""Pictures of findings: each number stands where the table says; dark pages keep data colours."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from agg2exp_core.analysis.clusters import cluster_classes
from agg2exp_core.analysis.cohort import cohort_of
from agg2exp_core.analysis.context import context
from agg2exp_core.errors import UsageError
from agg2exp_core.figures import (
    atlas,
    context_figure,
    cut,
    darken,
    dendrogram_figure,
    four_panels,
    heat_map,
    quality_figure,
)
from agg2exp_core.figures.dark import PAPER
from agg2exp_core.figures.planes import PLANES, widest_slice
from agg2exp_core.figures.style import INK
from agg2exp_core.labels import colour_of
from tests.analysis.example import CLASSES, matrices


@pytest.fixture(scope="module")
def local():
    return matrices(8, seed=1, first=100)


def labels(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def dots(ax):
    parts = [part.get_offsets() for part in ax.collections if isinstance(part, PathCollection)]
    return np.concatenate([np.asarray(part) for part in parts])


def test_context_has_a_dot_for_each_scan_class_and_cohort(local):
    table = pd.concat(
        [context(cohort_of(local), "store"), context(cohort_of(matrices(5, seed=2)), "reference")]
    )
    (ax,) = context_figure(table, title="x").axes
    assert len(dots(ax)) == len(table)
    np.testing.assert_allclose(np.sort(dots(ax)[:, 0]), np.sort(table["own"]), rtol=1e-6)
    medians = table[table["cohort"] == "store"].groupby("class")["own"].median()
    expected = medians.sort_values(ascending=False).index
    assert labels(ax) == [name.replace("_", " ") for name in expected]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["store, 8 scans", "reference, 5 scans"]
    with pytest.raises(UsageError, match="no number"):
        context_figure(table.assign(own=np.nan), title="x")


def test_quality_shows_the_stored_points_and_correlations():
    rng = np.random.default_rng(0)
    quality = pd.DataFrame(
        {
            "scan": [f"s{n}" for n in range(6)] * 2,
            "class": ["heart"] * 6 + ["ribs"] * 6,
            "score": rng.random(12),
        }
    ).assign(dice=rng.random(12))
    agreement = pd.DataFrame(
        {
            "class": ["heart", "ribs", "mean over classes"],
            "spearman": [-0.5, np.nan, 0.25],
            "p_value": [0.01, np.nan, 0.5],
            "p_adjusted": [0.02, np.nan, np.nan],
        }
    )
    means, heart, ribs = quality_figure(quality, agreement, title="x").axes
    assert means.get_title() == "mean over classes\nrho = 0.25"
    assert heart.get_title() == "heart\nrho = -0.50 *"
    assert ribs.get_title() == "ribs\nrho not known"
    expected = quality[quality["class"] == "heart"][["score", "dice"]]
    np.testing.assert_allclose(dots(heart), expected)
    np.testing.assert_allclose(dots(means), quality.groupby("scan")[["score", "dice"]].mean())


def test_the_tree_is_drawn_at_its_distances(local):
    tree = cluster_classes(cohort_of(local).mean()).to_json()
    (ax,) = dendrogram_figure(tree, title="x").axes
    (lines,) = [part for part in ax.collections if isinstance(part, LineCollection)]
    assert len(lines.get_segments()) == len(CLASSES) - 1
    tops = sorted(segment[:, 0].max() for segment in lines.get_segments())
    assert tops == pytest.approx(sorted(merge[2] for merge in tree["merges"]))
    assert labels(ax) == [name.replace("_", " ") for name in tree["dendrogram"]["order"]]


def test_four_panels_show_one_scan_and_all(local):
    mean = local["mass"].mean("scan")
    figure = four_panels(local, mean, "heart", scan="s0102", title="x")
    bars, boxes, *histograms, graph = figure.axes
    row = local["mass_without_background"].sel(scan="s0102", target="heart")
    assert sorted(bar.get_width() for bar in bars.patches) == pytest.approx(sorted(row.values[1:]))
    assert len(dots(boxes)) == 8 * (len(CLASSES) - 1)
    assert len(histograms) == 9
    assert all(sum(bar.get_height() for bar in ax.patches) == 8 for ax in histograms)
    assert {text.get_text() for text in graph.texts} >= {"heart", "aorta", "ribs"}


def volumes(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((12, 10, 8), bool)
    mask[3:7, 2:6, 1 + seed : 3 + seed] = True
    return rng.normal(size=mask.shape), rng.normal(size=mask.shape) * (1 + 5 * mask), mask, np.eye(4)


def test_an_atlas_has_three_planes_a_row_through_the_widest_slices():
    rows = [(f"class {seed}", cut(*volumes(seed))) for seed in range(3)]
    figure = atlas(rows, title="x", explanation="y", n_columns=2)
    assert len(figure.axes) == 9
    for seed, (_, seen) in enumerate(rows):
        mask = volumes(seed)[2]
        assert seen.indices == tuple(widest_slice(mask, plane.normal) for plane in PLANES)
        assert [part.sum() for part in seen.outlined] == [
            mask.take(index, plane.normal).sum() for plane, index in zip(PLANES, seen.indices, strict=True)
        ]
    shown = {text.get_text() for text in figure.texts}
    assert {"class 0", "class 1", "class 2", "x", "y"} <= shown
    with pytest.raises(UsageError, match="no row"):
        atlas([], title="x", explanation="y")


def test_a_dark_page_turns_ink_and_keeps_data(local):
    light = heat_map(local["mass"].mean("scan"), title="x")
    in_cells = [text.get_color() for text in light.axes[1].texts]
    images = [ax.images[0].get_array().copy() for ax in light.axes[:2]]
    dark = darken(light)
    assert to_hex(dark.get_facecolor()) == PAPER
    assert [text.get_color() for text in dark.axes[1].texts] == in_cells
    for ax, before in zip(dark.axes[:2], images, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), before)
    title = next(text for text in dark.texts if text.get_gid() == "title")
    assert to_hex(title.get_color()) != INK


def test_darkening_bars_draws_no_frames():
    figure = Figure()
    ax = figure.add_subplot()
    (bar,) = ax.bar([0], [1], color=colour_of("heart"), alpha=0.9)
    darken(figure)
    assert bar.get_edgecolor()[3] == 0
    assert to_hex(bar.get_facecolor()) == colour_of("heart").lower()
