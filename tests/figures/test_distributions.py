"""The boxes: sorted by their medians, and missing values left out."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb

from agg2exp_core.errors import UsageError
from agg2exp_core.figures import distributions
from agg2exp_core.labels import colour_of


def names_of(figure) -> list[str]:
    return [label.get_text().removeprefix("▸ ") for label in figure.axes[0].get_yticklabels()]


def test_published_boxes_are_sorted_by_median(published: xr.Dataset):
    figure = distributions(published, "heart", variable="mass", title="t")
    median = published["mass"].sel(target="heart").median("scan")
    expected = [
        str(median["roi"].values[i]).replace("_", " ") for i in np.argsort(-median.values, kind="stable")
    ]
    assert names_of(figure) == expected
    ax = figure.axes[0]
    drawn = [float(np.median(np.asarray(dots.get_offsets())[:, 0])) for dots in ax.collections]
    np.testing.assert_allclose(drawn, np.sort(median.values)[::-1])
    assert to_rgb(ax.patches[0].get_edgecolor()) == to_rgb(colour_of("background"))


def test_missing_scans_and_regions_are_left_out():
    nan = np.nan
    local = xr.Dataset(
        {"mass": (("scan", "target", "roi"), [[[0.2, nan, nan]], [[0.4, 0.6, nan]], [[nan, nan, nan]]])},
        coords={"scan": ["a", "b", "c"], "target": ["heart"], "roi": ["heart", "aorta", "ribs"]},
    )
    figure = distributions(local, "heart", variable="mass", title="t")
    assert names_of(figure) == ["aorta", "heart"]
    assert [len(dots.get_offsets()) for dots in figure.axes[0].collections] == [1, 2]


def test_merged_regions_repeat_their_parts_and_are_left_out():
    local = xr.Dataset(
        {"mass": (("scan", "target", "roi"), [[[0.2, 0.3, 0.5, 0.1]]])},
        coords={
            "scan": ["a"],
            "target": ["heart"],
            "roi": ["heart", "aorta", "both", "tumour"],
            "roi_kind": ("roi", ["class", "class", "merged", "extra"]),
        },
    )
    assert names_of(distributions(local, "heart", variable="mass", title="t")) == ["aorta", "heart", "tumour"]


@pytest.mark.parametrize(
    ("target", "variable", "words"),
    [("hart", "mass", "'hart'"), ("heart", "moss", "'moss'"), ("aorta", "mass", "absent")],
)
def test_what_is_not_there_is_refused(target: str, variable: str, words: str):
    local = xr.Dataset(
        {"mass": (("scan", "target", "roi"), [[[1.0], [np.nan]]])},
        coords={"scan": ["a"], "target": ["heart", "aorta"], "roi": ["heart"]},
    )
    with pytest.raises(UsageError, match=words):
        distributions(local, target, variable=variable, title="t")
