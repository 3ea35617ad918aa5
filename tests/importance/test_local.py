import numpy as np
import pytest
import xarray as xr

from agg2exp_core.errors import ScanError, UsageError
from agg2exp_core.importance import RoiSet, local_importance
from agg2exp_core.types import ClassAttribution, Prediction
from tests.reference.importance import matrix_entry

CLASSES = ("background", "heart", "aorta", "lung")
SHAPE = (7, 6, 5)


def prediction(labels):
    zeros = np.zeros(labels.shape, np.float32)
    return Prediction(labels, CLASSES, zeros, zeros)


def attributions(names, shape=SHAPE, seed=0):
    rng = np.random.default_rng(seed)
    for name in names:
        yield ClassAttribution(name, rng.normal(size=shape).astype(np.float32))


def check_against_twin(E, values, regions, background):
    for a, e in values.items():
        e = e if e.ndim == 4 else e[None]
        assert E.norm.sel(target=a) == pytest.approx(np.abs(e.astype(float)).sum(), rel=1e-12)
        for b, region in regions.items():
            for variable, expected in matrix_entry(e, region, background, b == "background").items():
                got = float(E[variable].sel(target=a, roi=b))
                assert got == pytest.approx(expected, rel=1e-11, abs=1e-13, nan_ok=True), (a, b, variable)


@pytest.mark.parametrize("n_channels", [None, 1, 3])
def test_equals_the_slow_twin(n_channels):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, SHAPE)
    shape = SHAPE if n_channels is None else (n_channels, *SHAPE)
    items = list(attributions(CLASSES, shape))
    extra = {"lesion": rng.random(SHAPE) < 0.3, "half": np.arange(SHAPE[2]) * np.ones(SHAPE) < 2}
    rois = RoiSet(labels, CLASSES, {"chest": ("heart", "lung"), "all": CLASSES}, extra)
    E = local_importance(iter(items), rois)
    regions = {name: labels == n for n, name in enumerate(CLASSES)}
    regions |= {"chest": np.isin(labels, [1, 3]), "all": labels >= 0, **extra}
    assert E.roi.values.tolist() == list(regions)
    assert E.roi_kind.values.tolist() == ["class"] * 4 + ["merged"] * 2 + ["extra"] * 2
    assert E.n_voxels.values.tolist() == [int(region.sum()) for region in regions.values()]
    check_against_twin(E, {item.class_name: item.values for item in items}, regions, labels == 0)


def test_known_by_hand():
    labels = np.array([[[0, 0, 1, 1]]])
    items = [
        ClassAttribution("background", np.array([[[3.0, -1.0, 2.0, -2.0]]])),
        ClassAttribution("heart", np.array([[[0.0, 1.0, 3.0, 0.0]]])),
    ]
    E = local_importance(items, prediction(labels)).isel(target=[0, 1], roi=[0, 1])
    np.testing.assert_allclose(E["mass"], [[0.5, 0.5], [0.25, 0.75]])
    np.testing.assert_allclose(E["mass_positive"], [[0.6, 0.4], [0.25, 0.75]])
    np.testing.assert_allclose(E["mass_negative"], [[1 / 3, 2 / 3], [np.nan, np.nan]])
    np.testing.assert_allclose(E["signed"], [[0.25, 0], [0.25, 0.75]])
    np.testing.assert_allclose(E["mean"], [[2, 2], [0.5, 1.5]])
    np.testing.assert_allclose(E["concentration"], [[1, 1], [0.5, 1.5]])
    np.testing.assert_allclose(E["variance"], [[4, 4], [0.25, 2.25]])
    np.testing.assert_allclose(E["mass_without_background"], [[np.nan, 1], [np.nan, 1]])
    np.testing.assert_allclose(E["norm"], [8, 4])


def test_rows_of_a_partition_sum_to_one_with_and_without_background():
    labels = np.random.default_rng(0).integers(0, 4, SHAPE)
    E = local_importance(attributions(CLASSES), prediction(labels))
    for variable in ("mass", "mass_positive", "mass_negative", "mass_without_background"):
        np.testing.assert_allclose(E[variable].sum("roi"), 1)


def test_absent_classes_and_regions_are_missing_not_zero():
    labels = np.random.default_rng(0).integers(0, 3, SHAPE)  # no lung
    E = local_importance(attributions(["heart", "background"]), prediction(labels))
    assert E.target.values.tolist() == list(CLASSES)
    assert E.mass.isnull().values.tolist() == [
        [False, False, False, True],
        [False, False, False, True],
        [True] * 4,
        [True] * 4,
    ]
    assert E.norm.isnull().values.tolist() == [False, False, True, True]
    assert E.n_voxels.sel(roi="lung") == 0
    assert E.n_voxels.dtype == np.int64


def test_named_masks_alone():
    masks = {"a": np.zeros(SHAPE, bool), "background": np.zeros(SHAPE, bool)}
    masks["a"][:3], masks["background"][2:] = True, True
    items = list(attributions(["y", "x"]))
    E = local_importance(items, masks)
    assert E.target.values.tolist() == ["y", "x"]
    assert set(E.roi_kind.values) == {"extra"}
    check_against_twin(E, {i.class_name: i.values for i in items}, masks, masks["background"])


def test_another_background():
    labels = np.random.default_rng(0).integers(0, 4, SHAPE)
    E = local_importance(attributions(CLASSES), prediction(labels), background="lung")
    assert E.mass_without_background.sel(roi="lung").isnull().all()
    np.testing.assert_allclose(E.mass_without_background.sum("roi"), 1)


def test_an_attribution_of_zeros_has_no_mass():
    labels = np.random.default_rng(0).integers(0, 4, SHAPE)
    E = local_importance([ClassAttribution("heart", np.zeros(SHAPE))], prediction(labels))
    assert E.norm.sel(target="heart") == 0
    assert E.mass.sel(target="heart").isnull().all()
    assert (E["mean"].sel(target="heart") == 0).all()


def test_no_items_give_missing_rows():
    E = local_importance([], prediction(np.zeros(SHAPE, int)))
    assert E.mass.shape == (4, 4)
    assert E.mass.isnull().all()
    assert local_importance([], {"a": np.ones(SHAPE, bool)}).mass.shape == (0, 1)


def test_items_are_taken_one_at_a_time():
    alive = []

    def generated():
        for item in attributions(CLASSES):
            import weakref

            alive.append(weakref.ref(item))
            assert sum(ref() is not None for ref in alive) <= 2  # this one, and the caller's last
            yield item

    local_importance(generated(), prediction(np.zeros(SHAPE, int)))
    assert len(alive) == 4


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(bad):
    values = np.ones(SHAPE, np.float32)
    values[1, 2, 3] = bad
    with pytest.raises(ScanError, match="attribution of heart: NaN or infinite"):
        local_importance([ClassAttribution("heart", values)], prediction(np.zeros(SHAPE, int)))


@pytest.mark.parametrize(
    ("items", "match"),
    [
        ([("liver", SHAPE)], "attribution of liver: a class that the prediction does not have"),
        ([("heart", SHAPE), ("heart", SHAPE)], "attribution of heart: a second one"),
        ([("heart", (2, 2, 2))], r"attribution of heart: shape \[2, 2, 2\]"),
        ([("heart", (1, 1, *SHAPE))], "attribution of heart: shape"),
    ],
)
def test_attributions_that_do_not_belong_are_refused(items, match):
    with pytest.raises(UsageError, match=match):
        local_importance(
            [ClassAttribution(name, np.zeros(shape)) for name, shape in items],
            prediction(np.zeros(SHAPE, int)),
        )


ONES = np.ones(SHAPE, bool)


@pytest.mark.parametrize(
    ("rois", "match"),
    [
        ({}, "one or more names"),
        ({"labels": ONES * 1, "class_names": ("a",), "extra": {"a": ONES}}, "each once"),
        ({"labels": ONES * 1}, "label map together"),
        (
            {"labels": ONES * 1, "class_names": ("a", "b"), "merged": {"m": ("a", "z")}},
            "'z'; allowed: a, b",
        ),
        ({"extra": {"a": ONES, "b": ONES[1:]}}, "one shape"),
        ({"extra": {"a": ONES[0]}}, "one shape"),
    ],
)
def test_regions_that_make_no_sense_are_refused(rois, match):
    with pytest.raises(UsageError, match=match):
        RoiSet(**rois)


def test_unnamed_labels_are_refused():
    with pytest.raises(UsageError, match="classes 0 to 4; allowed: 0 to 3"):
        local_importance([], prediction(np.array([[[0, 4]]])))


def test_type_of_the_result():
    E = local_importance(attributions(CLASSES), prediction(np.zeros(SHAPE, int)))
    assert isinstance(E, xr.Dataset)
    assert set(E.dims) == {"target", "roi"}
