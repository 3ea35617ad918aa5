"""Deletion and insertion equal the formula on the stitched volume; what is alike passes once."""

from dataclasses import replace

import numpy as np
import pytest

from agg2exp_core.attribution.method import Geometry
from agg2exp_core.execution import counted
from agg2exp_core.metrics import make_metric
from agg2exp_core.metrics.curves import chain
from agg2exp_core.windows import Tiling
from tests.metrics.test_scores import make_clean, make_subject, scores
from tests.networks import CLASS_NAMES
from tests.reference import metrics as slow

NAMES = ("deletion", "insertion", "roi_deletion", "roi_insertion")


@pytest.fixture(scope="module")
def subject():
    return make_subject(make_clean())


def test_a_chain():
    found = chain([2, 0, 1])
    assert found.astype(int).tolist() == [[0, 0, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1]]


@pytest.mark.parametrize("name", NAMES)
def test_areas_equal_the_formula(subject, name):
    metric = make_metric(name, {} if "roi" in name else {"n_steps": 4})
    clean, deleted = subject.clean, "deletion" in name
    labels, image = clean.prediction.labels, clean.scan.image
    found, n_falling = scores(metric, subject), 0
    for of_class, score in found.items():
        c = CLASS_NAMES.index(of_class)
        if "roi" in name:
            mass = subject.matrix()["mass"].sel(target=of_class, roi=list(CLASS_NAMES)).values
            groups = [labels == b for b in sorted(range(4), key=lambda b: -mass[b]) if (labels == b).any()]
            random = [[labels == b for b in metric.perturbations.drawn(clean, n)[1]] for n in range(3)]
            random = [[group for group in groups_ if group.any()] for groups_ in random]
        else:
            size = np.abs(subject.attribution(of_class)).ravel()
            quantile = np.argsort(np.argsort(size)) * 4 // size.size
            groups = [(quantile == k).reshape(labels.shape) for k in (3, 2, 1, 0)]
            random = [[metric.perturbations.drawn(clean, n)[0] == k for k in range(4)] for n in range(3)]
        if score.details["output_drop"] <= 0:
            assert np.isnan(score.value)
            continue
        n_falling += 1
        expected = slow.area(clean.model, image, c, groups, deleted)
        by_chance = [slow.area(clean.model, image, c, groups_, False) for groups_ in random]
        assert score.details["area"] == pytest.approx(expected, rel=1e-9)
        assert score.value == pytest.approx(expected - np.mean(by_chance), rel=1e-9)
        assert score.standard_error == pytest.approx(np.std(by_chance, ddof=1) / 3**0.5, rel=1e-6)
    assert n_falling >= 2


@pytest.mark.parametrize("name", ["deletion", "roi_deletion"])
def test_random_orders_do_not_depend_on_how_they_are_cut(subject, name):
    random = make_metric(name).perturbations
    most = random.most(4)
    whole = random.output_drops(subject.clean, 0, most)
    assert len(whole) == most
    parts = [random.output_drops(subject.clean, a, b) for a, b in ((0, 4), (4, 5), (5, most))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("aggregation", ["sum", "margin"])
def test_no_more_passes_than_planned(subject, name, aggregation):
    metric, clean = make_metric(name, {"aggregation": aggregation}), subject.clean
    tiling = Tiling(clean.model.windows, clean.prediction.labels.shape)
    geometry = Geometry(tiling, 1, 4, len(subject.classes))
    drops = metric.perturbations.output_drops(clean, 0, metric.perturbations.most(4))
    matrix = subject.matrix()
    with counted(clean.model) as (model, tally):
        seen = replace(subject, clean=replace(clean, model=model), matrix=lambda: matrix)
        metric.scores(seen, lambda n: drops)
    assert 0 < tally.forward <= metric.passes(geometry, subject.method).forward
