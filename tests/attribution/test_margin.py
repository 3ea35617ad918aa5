"""The margin explains what is decided: what all logits have in common leaves it alone."""

import numpy as np
import pytest
import torch
from torch import nn

from agg2exp_core import local_importance, wrap_network
from agg2exp_core.attribution import Execution, attribute
from agg2exp_core.metrics import EvaluatedScan, make_metric
from agg2exp_core.prediction import predict, runner_up
from agg2exp_core.types import Scan
from tests.attribution.test_shapley import pointwise_model
from tests.networks import CLASS_NAMES, random_image, smooth_model, smooth_network
from tests.reference import attributions as twin

IMAGE = random_image(1, 13, 9, 10)
METHODS = {
    "vanilla_gradient": {},
    "smoothgrad": {"n_samples": 2},
    "integrated_gradients": {"n_steps": 2},
    "shapley_semantic": {},
    "shapley_cubes": {"cube_side": 7},
    "kernelshap_cubes": {"cube_side": 7, "n_samples": 60},
    "captum:Saliency": {"abs": False},
}


class WithCommonTerm(nn.Module):
    """A network, and a function of the input on top of all its logits."""

    def __init__(self):
        super().__init__()
        self.inner = smooth_network().double()
        self.common = nn.Conv3d(1, 1, 3, padding=1, bias=False).double()
        with torch.no_grad():
            self.common.weight.copy_(torch.linspace(-1, 2, 27).reshape(1, 1, 3, 3, 3))

    def forward(self, windows):
        return self.inner(windows) + 5 * torch.sin(self.common(windows))


def explained(network, method, aggregation):
    model = wrap_network(network, CLASS_NAMES, (8, 8, 8), 0.25, "gaussian")
    prediction = predict(model, IMAGE)
    params = {"aggregation": aggregation, "prediction": prediction} | METHODS[method]
    items = list(attribute(model, IMAGE, method, **params))
    return items, local_importance(items, prediction)["signed"].values, prediction.labels


@pytest.mark.parametrize("method", METHODS)
def test_what_is_added_to_all_logits_changes_maps_and_matrices_of_the_sum_alone(method):
    apart = {}
    for aggregation in ("margin", "sum"):
        items, matrix, labels = explained(smooth_network().double(), method, aggregation)
        others, other_matrix, other_labels = explained(WithCommonTerm(), method, aggregation)
        np.testing.assert_array_equal(labels, other_labels)
        peaks = [np.abs(item.values).max() for item in items]
        maps = [np.abs(a.values - b.values).max() for a, b in zip(items, others, strict=True)]
        apart[aggregation] = max(np.array(maps) / peaks), np.nanmax(np.abs(matrix - other_matrix))
    assert max(apart["margin"]) < 1e-10
    assert min(apart["sum"]) > 0.01


def test_the_runner_up_is_the_best_of_the_other_classes():
    model = smooth_model(overlap=0.5, blend="gaussian")
    logits = twin.f(model, IMAGE).detach()
    order = logits.argsort(dim=0, descending=True)
    assert (runner_up(model, IMAGE, order[0]) == order[1]).all()
    assert (runner_up(model, IMAGE, order[1]) == order[0]).all()  # of a label map that is given


def test_by_hand():
    """Logits 2x, -3x and x: class 0 at positive voxels, less class 2."""
    model = pointwise_model([2.0, -3.0, 1.0])
    image = torch.tensor([1.0, 2, 3, -4]).double()[None, :, None, None].expand(1, 4, 4, 4).contiguous()
    first, second = attribute(model, image, "vanilla_gradient", aggregation="margin")
    np.testing.assert_array_equal(first.values[:, 0, 0], [2 - 1, 2 - 1, 2 - 1, 0])
    np.testing.assert_array_equal(second.values[:, 0, 0], [0, 0, 0, -3 - 1])


def test_nested_regions_win_against_zero():
    network = nn.Sequential(nn.Conv3d(1, 3, 3, padding=1), nn.Tanh()).double()
    model = wrap_network(network, CLASS_NAMES, (8, 8, 8), activation="regions")
    margins = list(attribute(model, IMAGE, "vanilla_gradient", aggregation="margin"))
    sums = list(attribute(model, IMAGE, "vanilla_gradient"))
    assert len(sums) > 1
    assert [a.values.tobytes() for a in margins] == [b.values.tobytes() for b in sums]


@pytest.mark.parametrize("metric", ["roi_faithfulness", "faithfulness"])
def test_output_drops(metric):
    model = smooth_model(overlap=0.25)
    prediction = predict(model, IMAGE)
    clean = EvaluatedScan(model, Scan("a", IMAGE, np.eye(4), None, ""), prediction, 0, Execution())
    options = {"n_subsets": 3, "subset_size": 50} if metric == "faithfulness" else {}
    perturbed = make_metric(metric, {"aggregation": "margin", **options}).perturbations
    drops = perturbed.output_drops(clean, 0, 3)
    for row, drop in enumerate(drops):
        image = IMAGE.clone()
        if metric == "faithfulness":
            image.view(-1)[torch.from_numpy(perturbed.voxels(clean, row))] = 0
        else:
            image[:, torch.from_numpy(prediction.labels == row)] = 0
        for c in map(CLASS_NAMES.index, prediction.present):
            whole, left = (twin.f_hat(model, x, IMAGE, c, "margin").detach() for x in (IMAGE, image))
            assert drop[c] == pytest.approx(float(whole - left), rel=1e-9)
