"""Agreement with Quantus, an independent implementation, where its definitions are the same."""

import numpy as np
import pytest
import quantus
import torch

from agg2exp_core import attribute
from agg2exp_core.metrics import make_metric
from agg2exp_core.metrics.faithfulness import correlate
from agg2exp_core.metrics.subsets import Subsets
from tests.metrics.test_scores import make_clean, make_subject, scores
from tests.networks import CLASS_NAMES
from tests.reference.attributions import f_hat

QUIET = {"disable_warnings": True}


class Classifier:
    """A segmenter as Quantus sees a model: a scan in, the aggregated output of each class out."""

    def __init__(self, clean):
        self.model, self.image = clean.model, clean.scan.image

    def shape_input(self, x, shape, **kwargs):
        return x

    def predict(self, x):
        images = torch.from_numpy(x)
        outputs = [
            [float(f_hat(self.model, image, self.image, c, "sum").detach()) for c in range(len(CLASS_NAMES))]
            for image in images
        ]
        return np.array(outputs)


def batch_of(values):
    """One attribution ``[X, Y, Z]`` divided by its peak, as Quantus hands it on ``[1, 1, X, Y, Z]``."""
    return (values / np.abs(values).max()).astype(np.float64)[None, None]


def test_faithfulness_over_the_subsets_that_quantus_draws(monkeypatch):
    clean = make_clean()
    subject = make_subject(clean)
    drawn = []

    def removed(arr, indices, **kwargs):
        drawn.append(indices[0])
        return quantus.perturb_func.batch_baseline_replacement_by_indices(arr, indices, **kwargs)

    theirs = quantus.FaithfulnessCorrelation(
        nr_runs=8, subset_size=90, perturb_func=removed, perturb_baseline=0.0, **QUIET
    )
    x = clean.scan.image.numpy()[None]
    (expected,) = theirs.evaluate_batch(
        Classifier(clean), x, np.array([1]), batch_of(subject.attribution("left"))
    )
    monkeypatch.setattr(Subsets, "voxels", lambda self, clean, n: drawn[n])
    ours = scores(make_metric("faithfulness", {"n_subsets": 8, "subset_size": 90}), subject)["left"]
    assert len(drawn) == 8
    assert ours.value == pytest.approx(expected, rel=1e-6)


def test_sensitivity_on_the_same_noisy_copies():
    clean = make_clean()
    subject = make_subject(clean, "smoothgrad", n_samples=2)
    metric = make_metric("sensitivity", {"n_perturbations": 3})
    copies = [metric.noisy(clean, n) for n in range(3)]
    left = iter(copies)

    class OurNoise(quantus.AvgSensitivity):
        def explain_batch(self, model, x_batch, y_batch):
            self.copy = next(left)
            items = attribute(clean.model, self.copy, subject.method, ["left"], prediction=clean.prediction)
            return batch_of(next(iter(items)).values)

    theirs = OurNoise(nr_samples=3, **QUIET)
    x = clean.scan.image.numpy()[None]
    (expected,) = theirs.evaluate_batch(
        Classifier(clean), x, np.array([1]), batch_of(subject.attribution("left"))
    )
    ours = metric.scores(subject, lambda n: None)["left"]
    assert ours.value == pytest.approx(expected, rel=1e-5)


def test_complexity_is_the_share_of_the_voxels_that_quantus_counts():
    """Its effective complexity is the number of absolute values above eps."""
    subject = make_subject(make_clean())
    theirs = quantus.EffectiveComplexity(eps=0.1, normalise=False, abs=True, **QUIET)
    for name, score in make_metric("complexity").scores(subject, lambda n: None).items():
        values = subject.attribution(name)
        (count,) = theirs.evaluate_batch(np.abs(batch_of(values))[0])
        assert score.value == pytest.approx(count / values.size)


def test_both_correlate_the_same_pairs_alike():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 40))
    assert correlate(a, b) == pytest.approx(quantus.similarity_func.correlation_pearson(a, b))
    assert correlate(a, b, ranks=True) == pytest.approx(quantus.similarity_func.correlation_spearman(a, b))
