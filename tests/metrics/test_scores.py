import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from agg2exp_core import attribute, local_importance, predict
from agg2exp_core.attribution import Execution, make_method
from agg2exp_core.errors import UsageError
from agg2exp_core.execution import counted
from agg2exp_core.metrics import METRICS, EvaluatedScan, Subject, make_metric, recipe
from agg2exp_core.types import Grid, Prediction, Scan
from tests.networks import CLASS_NAMES, random_image, smooth_model
from tests.reference import metrics as slow

SHAPE = (10, 11, 9)


def make_clean(window_batch=1, **settings):
    model, image = smooth_model(**settings), random_image(1, *SHAPE)
    scan = Scan("s1", image, np.eye(4), Grid(SHAPE, np.eye(4)), "hash")
    return EvaluatedScan(model, scan, predict(model, image), 0, Execution(window_batch=window_batch))


def explained(clean, method):
    items = attribute(clean.model, clean.scan, method, prediction=clean.prediction, seed=clean.seed)
    return {item.class_name: item.values for item in items}


def make_subject(clean, name="vanilla_gradient", **params):
    method = make_method(name, params)
    found = explained(clean, method)

    def matrix_of(of_method):
        items = attribute(clean.model, clean.scan, of_method, prediction=clean.prediction)
        return local_importance(items, clean.prediction)

    exact = make_method("shapley_semantic", {"max_exact_players": 13})
    return Subject(
        clean,
        method,
        tuple(found),
        found.get,
        lambda: matrix_of(method),
        lambda: matrix_of(exact),
        lambda name: {"exact_mass_share": 1.0, "relative_standard_error": 0.0},
    )


def scores(metric, subject):
    perturbations = metric.perturbations
    return metric.scores(subject, lambda n: perturbations.output_drops(subject.clean, 0, n))


@pytest.mark.parametrize("blend", ["constant", "gaussian"])
def test_faithfulness_equals_the_formula(blend):
    clean = make_clean(blend=blend)
    subject = make_subject(clean)
    metric = make_metric("faithfulness", {"n_subsets": 12, "subset_size": 90})
    subsets = [metric.perturbations.voxels(clean, n) for n in range(12)]
    assert all(len(set(voxels)) == 90 for voxels in subsets)
    found, drops = scores(metric, subject), metric.perturbations.output_drops(clean, 0, 12)
    for name in subject.classes:
        c = CLASS_NAMES.index(name)
        r, expected = slow.faithfulness(clean.model, clean.scan.image, subject.attribution(name), c, subsets)
        np.testing.assert_allclose(drops[:, c], expected, rtol=1e-9)
        assert found[name].value == pytest.approx(r, rel=1e-9)
        assert found[name].standard_error == pytest.approx((1 - r**2) / math.sqrt(11))


def test_output_drops_do_not_depend_on_how_they_are_cut():
    clean, batched = make_clean(), make_clean(window_batch=3)
    subsets = make_metric("faithfulness", {"subset_size": 50}).perturbations
    whole = subsets.output_drops(clean, 0, 6)
    assert np.array_equal(
        whole, np.concatenate([subsets.output_drops(clean, 0, 4), subsets.output_drops(clean, 4, 6)])
    )
    np.testing.assert_allclose(subsets.output_drops(batched, 0, 6), whole, rtol=1e-10)


def test_the_variants_of_the_published_code_are_the_stitched_volume_read_otherwise():
    clean = make_clean()
    fixed = make_metric("faithfulness", {"subset_size": 400}).perturbations
    recomputed = make_metric("faithfulness", {"subset_size": 400, "mask": "recomputed"}).perturbations
    probable = make_metric("faithfulness", {"subset_size": 400, "output": "probabilities"}).perturbations
    (voxels,) = [fixed.voxels(clean, 0)]
    perturbed = clean.scan.image.clone()
    perturbed[0].view(-1)[torch.from_numpy(voxels)] = 0
    logits = [slow_logits(clean.model, image) for image in (clean.scan.image, perturbed)]
    labels = [one.argmax(0) for one in logits]
    for c in range(4):
        own = [one[c][of == c].sum() for one, of in zip(logits, labels, strict=True)]
        assert recomputed.output_drops(clean, 0, 1)[0, c] == pytest.approx(float(own[0] - own[1]))
        share = [one.softmax(0)[c][labels[0] == c].sum() for one in logits]
        assert probable.output_drops(clean, 0, 1)[0, c] == pytest.approx(float(share[0] - share[1]))
    assert not np.allclose(recomputed.output_drops(clean, 0, 1), fixed.output_drops(clean, 0, 1))


def slow_logits(model, image):
    from tests.reference.attributions import f

    return f(model, image).detach()


def test_a_wanted_precision_ends_early():
    subject = make_subject(make_clean(), "integrated_gradients")
    metric = make_metric("faithfulness", {"n_subsets": 75, "subset_size": 60, "precision": 0.9})
    asked = []

    def drops(n):
        asked.append(n)
        return metric.perturbations.output_drops(subject.clean, 0, n)

    assert {score.details["n_subsets"] for score in metric.scores(subject, drops).values()} == {25}
    assert asked == [25]


@pytest.mark.parametrize(
    ("method", "params"), [("shapley_semantic", {}), ("kernelshap_cubes", {"cube_side": 4, "n_samples": 120})]
)
@pytest.mark.parametrize("metric", ["faithfulness", "complexity", "sensitivity"])
def test_voxels_are_judged_by_the_whole_value_of_their_player(method, params, metric):
    """However the values are spread, whose sums over regions then differ."""
    clean = make_clean()
    even, repeated = (make_subject(clean, method, spread=how, **params) for how in ("even", "repeat"))
    judge = make_metric(metric, {"subset_size": 90} if metric == "faithfulness" else {})
    found, expected = scores_of(judge, even), scores_of(judge, repeated)
    for name in even.classes:
        assert not np.allclose(even.attribution(name), repeated.attribution(name))
        assert found[name].value == pytest.approx(expected[name].value, rel=1e-6)


def scores_of(metric, subject):
    return metric.scores(subject, lambda n: None) if metric.perturbations is None else scores(metric, subject)


def test_ranks_have_a_larger_standard_error():
    subject = make_subject(make_clean())
    metric = make_metric("faithfulness", {"n_subsets": 9, "subset_size": 60, "correlation": "spearman"})
    for score in scores(metric, subject).values():
        r = score.value
        assert score.standard_error == pytest.approx((1 - r**2) * math.sqrt((1 + r**2 / 2) / 8))
        assert score.details == {"n_subsets": 9, "subset_voxels": 60}


def test_sensitivity_ends_once_it_is_precise_and_its_noise_may_be_gaussian():
    subject = make_subject(make_clean())
    loose, strict = (
        make_metric("sensitivity", {"n_perturbations": 4, "precision": p, "noise": "gaussian"})
        for p in (10.0, 1e-9)
    )
    noise = loose.noisy(subject.clean, 0).image - subject.clean.scan.image
    assert float(noise.std()) == pytest.approx(0.1, rel=0.1)
    assert float(noise.abs().max()) > 0.2
    taken = [
        {score.details["n_perturbations"] for score in metric.scores(subject, lambda n: None).values()}
        for metric in (loose, strict)
    ]
    assert taken == [{2}, {4}]


@pytest.mark.parametrize("method", ["vanilla_gradient", "smoothgrad"])
def test_sensitivity_equals_the_formula_under_common_random_numbers(method):
    clean = make_clean()
    subject = make_subject(clean, method)
    metric = make_metric("sensitivity", {"n_perturbations": 2})
    found = metric.scores(subject, lambda n: None)
    changes = []
    for index in range(2):
        noisy = metric.noisy(clean, index)
        assert 0.05 < float((noisy.image - clean.scan.image).abs().max()) <= 0.1
        items = attribute(clean.model, noisy, subject.method, prediction=clean.prediction)
        changes.append({item.class_name: item.values for item in items})
    for name in subject.classes:
        expected = [slow.sensitivity(subject.attribution(name), after[name]) for after in changes]
        assert found[name].value == pytest.approx(np.mean(expected), rel=1e-7)
        assert found[name].standard_error == pytest.approx(np.std(expected, ddof=1) / math.sqrt(2), rel=1e-5)


def test_complexity_equals_the_formula():
    subject = make_subject(make_clean())
    for name, score in make_metric("complexity").scores(subject, lambda n: None).items():
        assert score.value == pytest.approx(slow.complexity(subject.attribution(name)))


def test_efficiency_counts_the_passes_of_the_method_alone():
    subject = make_subject(make_clean())
    found = make_metric("efficiency").scores(subject, lambda n: None)
    with counted(subject.clean.model) as (_, tally):
        explained(subject.clean, subject.method)
    for score in found.values():
        assert (score.details["forward_passes"], score.details["backward_passes"]) == (
            tally.forward,
            tally.backward,
        )
        assert score.value == pytest.approx(score.details["seconds_of_scan"] / len(found))


def test_removing_a_region_is_what_the_output_drops_say_and_absent_classes_are_missing():
    clean = make_clean()
    metric = make_metric("roi_faithfulness")
    drops = metric.perturbations.output_drops(clean, 0, 4)
    for b in range(4):
        perturbed = clean.scan.image * torch.from_numpy(clean.prediction.labels != b)
        images = (clean.scan.image, perturbed)
        clean_logits, logits = (slow_logits(clean.model, image) for image in images)
        for c in range(4):
            inside = torch.from_numpy(clean.prediction.labels == c)
            assert drops[b, c] == pytest.approx(float(((clean_logits - logits)[c] * inside).sum()), abs=1e-9)


def test_the_exact_matrix_is_at_distance_zero_and_others_are_not():
    clean = make_clean()
    exact = make_subject(clean, "shapley_semantic", max_exact_players=13)
    metric = make_metric("roi_distance")
    assert all(s.value == pytest.approx(0, abs=1e-12) for s in metric.scores(exact, lambda n: None).values())
    gradient = metric.scores(make_subject(clean), lambda n: None)
    assert all(0 < score.value < 1 for score in gradient.values())
    told = {"exact_mass_share": 1.0, "relative_standard_error": 0.0}
    assert all(score.details.items() >= told.items() for score in gradient.values())


def test_roi_faithfulness_of_the_output_drops_themselves_is_one():
    clean = make_clean()
    metric = make_metric("roi_faithfulness")
    drops = metric.perturbations.output_drops(clean, 0, 4)
    subject = make_subject(clean)
    matrix = subject.matrix()
    for name in ("mass", "signed"):
        matrix[name].loc[{"roi": list(CLASS_NAMES)}] = np.abs(drops.T) if name == "mass" else drops.T
    told = replace(subject, matrix=lambda: matrix)
    for score in metric.scores(told, lambda n: drops).values():
        assert score.value == pytest.approx(1)
        assert score.details["signed_pearson"] == pytest.approx(1)


def test_the_region_metrics_equal_their_formulas():
    clean = make_clean()
    subject = make_subject(clean)
    matrix, exact = subject.matrix(), subject.exact_matrix()["mass"]
    found = scores(make_metric("roi_faithfulness"), subject)
    distances = make_metric("roi_distance").scores(subject, lambda n: None)
    regions = list(CLASS_NAMES)
    for c, name in enumerate(CLASS_NAMES):
        drops = slow.region_falls(clean.model, clean.scan.image, clean.prediction.labels, c)
        mass, signed = (matrix[kind].sel(target=name, roi=regions).values for kind in ("mass", "signed"))
        for part, kept in (("", range(4)), ("_of_others", [b for b in range(4) if b not in (0, c)])):
            expected = slow.region_correlations(mass, signed, drops, list(kept))
            for kind, value in expected.items():
                assert found[name].details[f"{kind}{part}"] == pytest.approx(value, nan_ok=True)
        assert found[name].value == found[name].details["spearman"]
        row = exact.sel(target=name, roi=regions).values
        assert distances[name].value == pytest.approx(slow.total_variation(mass, row, range(4)))
        others = [b for b in range(4) if b not in (0, c)]
        assert distances[name].details["of_others"] == pytest.approx(slow.total_variation(mass, row, others))


def test_what_is_drawn_is_a_function_of_its_address():
    """The numbers of earlier releases: stored output drops and scores rest on them."""
    image, labels = torch.zeros(1, 3, 4, 5), np.zeros((3, 4, 5), np.uint8)
    scan = Scan("s", image, np.eye(4), None, "")
    clean = replace(make_clean(), scan=scan, prediction=Prediction(labels, CLASS_NAMES, labels, labels))
    subsets = make_metric("faithfulness", {"subset_size": 4}).perturbations
    assert subsets.voxels(clean, 2).tolist() == [16, 23, 41, 53]
    for noise, expected in {
        "uniform": [-0.0457778, -0.0102246],
        "gaussian": [-0.0402094, -0.1569901],
    }.items():
        found = make_metric("sensitivity", {"noise": noise}).noisy(clean, 1).image.flatten()[:2]
        assert found.tolist() == pytest.approx(expected, abs=1e-6)


RECIPES = {
    "faithfulness": {
        "n_subsets": 100,
        "subset_size": 50176,
        "subset_share": None,
        "baseline": "zero",
        "aggregation": "sum",
        "mask": "fixed",
        "output": "logits",
        "correlation": "pearson",
        "precision": None,
    },
    "sensitivity": {"n_perturbations": 3, "noise": "uniform", "radius": 0.1, "precision": None},
    "complexity": {"threshold": 0.1},
    "efficiency": {},
    "roi_faithfulness": {"baseline": "zero", "aggregation": "sum", "correlation": "spearman"},
    "roi_distance": {},
    "randomisation": {"n_stages": 3, "n_voxels": 100_000},
    "deletion": {"n_random": 3, "n_steps": 10, "baseline": "zero", "aggregation": "sum"},
    "insertion": {"n_random": 3, "n_steps": 10, "baseline": "zero", "aggregation": "sum"},
    "roi_deletion": {"n_random": 3, "baseline": "zero", "aggregation": "sum"},
    "roi_insertion": {"n_random": 3, "baseline": "zero", "aggregation": "sum"},
}


@pytest.mark.parametrize("name", METRICS)
def test_recipes_are_those_of_stored_scores(name):
    assert recipe(make_metric(name)) == {"metric": name} | RECIPES[name]


def test_recipes_of_given_options():
    given = {"subset_share": "0.2", "baseline": "0.50", "precision": 1, "n_subsets": "50"}
    changed = {"subset_share": 0.2, "baseline": "0.5", "precision": 1.0, "n_subsets": 50}
    found = recipe(make_metric("faithfulness", given))
    assert found == {"metric": "faithfulness"} | RECIPES["faithfulness"] | changed
    assert [type(found[name]) for name in changed] == [float, str, float, int]
    shared = make_metric("faithfulness", given).perturbations.recipe
    told = {n: v for n, v in found.items() if n not in ("metric", "correlation", "precision")}
    assert shared == {"kind": "subsets", **told, "n_subsets": None}


def test_every_metric_says_which_options_it_used():
    for name, kind in METRICS.items():
        told = recipe(make_metric(name))
        assert told["metric"] == name
        assert set(told) == {"metric", *kind.model_fields}


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("faith", {}),
        ("faithfulness", {"subset": 3}),
        ("faithfulness", {"n_subsets": 2}),
        ("faithfulness", {"mask": "moving"}),
        ("faithfulness", {"subset_share": 1.5}),
        ("faithfulness", {"aggregation": "probability", "mask": "recomputed"}),
        ("sensitivity", {"noise": "pink"}),
        ("complexity", {"threshold": "much"}),
    ],
)
def test_what_has_no_meaning_is_refused(name, params):
    with pytest.raises(UsageError):
        make_metric(name, params)
