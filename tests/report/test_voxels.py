"""What pictures show of an attribution: whole regions of players, the strongest voxels of gradients."""

import numpy as np
import pytest

from agg2exp_core.figures import cut
from agg2exp_core.pipeline.display import shown_rule, shown_voxels
from agg2exp_core.store import open_store
from tests.analysis.example import CLASSES, LABEL
from tests.report.making import AFFINE, SHAPE, write_volumes


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = open_store(tmp_path_factory.mktemp("voxels"), create=True)
    store.register_label(LABEL, "smoothgrad", {})
    store.register_label("shapley", "shapley_semantic", {})
    there = store.scan("s0001")
    write_volumes(there)
    labels = there.prediction().labels
    of_player = np.linspace(2, 1, len(CLASSES), dtype=np.float32)  # background has the most
    there.write_unit("shapley", "heart", of_player[labels], identity="v" * 64, info={})
    return store


def seen(store, label):
    there = store.scan("s0001")
    prediction = there.prediction()
    values, percentile = shown_voxels(store, there, label, "heart", prediction)
    image = there.image().image[0].numpy()
    return prediction.labels, cut(image, values, prediction.mask("heart"), AFFINE, percentile=percentile)


def test_all_players_but_the_background_are_drawn(store):
    """A percentile would fall on the values of a region, and none be above it."""
    labels, drawn = seen(store, "shapley")
    heart = CLASSES.index("heart")
    level = int(np.argmax((labels == heart).sum(axis=(0, 1))))
    plane = labels[::-1, :, level].T[::-1, ::-1]  # the first axis of the volume runs to the left
    np.testing.assert_array_equal(drawn.shown[0] > 0, plane > 0)
    assert "background" in shown_rule(store, "shapley")


def test_the_strongest_voxels_of_a_gradient_are_drawn(store):
    _, drawn = seen(store, LABEL)
    values = np.abs(store.scan("s0001").attribution(LABEL, "heart").compute())
    shown = np.abs(drawn.values[0])[drawn.shown[0] > 0]
    assert shown.size
    assert shown.min() > np.percentile(values, 95)
    assert "95th percentile" in shown_rule(store, LABEL)
    assert values.shape == SHAPE
