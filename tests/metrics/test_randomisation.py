"""Randomisation: layers from the output down, draws by address, likeness as the formula says."""

import numpy as np
import pytest
import torch

from agg2exp_core.metrics import make_metric
from agg2exp_core.metrics.randomisation import layers, randomised
from tests.metrics.test_scores import make_clean, make_subject, scores
from tests.networks import CLASS_NAMES, smooth_model
from tests.reference import metrics as slow


def test_layers_from_the_output_to_the_input():
    assert layers(smooth_model()) == ["3", "2", "0"]


def test_weights_are_drawn_by_address_and_the_model_is_left_alone():
    model = smooth_model()
    before = {name: weights.clone() for name, weights in model.network.named_parameters()}
    one, more = (dict(randomised(model, ["3", "2"][:n], 5).network.named_parameters()) for n in (1, 2))
    other = dict(randomised(model, ["3"], 6).network.named_parameters())
    assert all(torch.equal(before[name], weights) for name, weights in model.network.named_parameters())
    assert {name for name, weights in one.items() if not torch.equal(before[name], weights)} == {
        "3.weight",
        "3.bias",
    }
    assert torch.equal(one["3.weight"], more["3.weight"])
    assert not torch.equal(one["3.weight"], other["3.weight"])
    drawn, learnt = (float(weights["3.weight"].detach().std()) for weights in (one, before))
    assert drawn == pytest.approx(learnt, rel=0.1)


def test_equal_to_the_formula():
    subject = make_subject(make_clean())
    clean = subject.clean
    found = scores(make_metric("randomisation", {"n_stages": 2}), subject)
    others = [randomised(clean.model, ["3", "2", "0"][:n], clean.seed) for n in (2, 3)]
    for name, score in found.items():
        expected = [
            slow.likeness(
                clean.model, other, clean.scan.image, clean.prediction.labels, CLASS_NAMES.index(name)
            )
            for other in others
        ]
        assert score.details["n_layers"] == [2, 3]
        np.testing.assert_allclose(score.details["voxels"], [voxels for voxels, _ in expected], atol=1e-9)
        np.testing.assert_allclose(score.details["rows"], [rows for _, rows in expected], atol=1e-9)
        assert score.value == pytest.approx(np.mean([voxels for voxels, _ in expected]))


def test_what_does_not_look_at_the_model_stays_alike():
    subject = make_subject(make_clean(), "tests.metrics.test_randomisation:the_scan")
    found = scores(make_metric("randomisation", {"n_stages": 1, "n_voxels": 50}), subject)
    assert [score.value for score in found.values()] == pytest.approx([1.0] * len(found))


def the_scan(problem, classes):
    for c in classes:
        yield c, problem.image, {}
