"""A bundle gives what MONAI's own parts, made from the same configuration, give on the same scan."""

import json

import pytest
import torch

from agg2exp_core import load_model, load_scan, predict
from agg2exp_core.errors import ModelError
from agg2exp_core.prediction import sliding_logits
from tests.flows.cohort import write_scan
from tests.models.monai_bundle import bundle, inferred, small_network, told_like_the_zoo


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("script", [False, True])
def test_image_and_logits_are_those_of_monai(tmp_path, network, script):
    folder = told_like_the_zoo(bundle(tmp_path / "bundle", network, script=script))
    scan_file = write_scan(tmp_path / "scan.nii.gz")
    image, expected = inferred(folder, scan_file)
    model = load_model(folder, "cpu")
    scan = load_scan(scan_file, model)
    assert torch.equal(scan.image, image)
    difference = (sliding_logits(model, scan) - expected).abs().max()
    assert difference <= 1e-5 * expected.abs().max()


@pytest.mark.filterwarnings("ignore")
def test_a_bundle_that_ends_in_a_sigmoid_has_a_logit_for_each_class_and_none_for_the_rest(tmp_path, network):
    folder = told_like_the_zoo(bundle(tmp_path / "bundle", network, script=False), sigmoid=True)
    scan_file = write_scan(tmp_path / "scan.nii.gz")
    _, expected = inferred(folder, scan_file)
    model = load_model(folder, "cpu")
    assert model.class_names == ("background", "core", "whole", "rim", "cyst")
    scan = load_scan(scan_file, model)
    logits = sliding_logits(model, scan)
    torch.testing.assert_close(logits[1:], expected, rtol=1e-4, atol=1e-5)
    assert not logits[0].any()
    monai_says = expected.sigmoid() > 0.5  # [L, X, Y, Z]: classes may overlap there
    labels = torch.from_numpy(predict(model, scan).labels.astype(int))
    assert torch.equal(labels > 0, monai_says.any(0))
    assert 0 < (labels > 0).float().mean() < 1


def test_a_sigmoid_over_channels_with_a_background_decides_as_softmax(tmp_path, network):
    folder = bundle(tmp_path / "bundle", network, script=False)
    plain = load_model(folder, "cpu")
    path = folder / "configs" / "inference.json"
    config = json.loads(path.read_text())
    config["postprocessing"] = {"transforms": [{"_target_": "Activationsd", "keys": "pred", "sigmoid": True}]}
    path.write_text(json.dumps(config))
    assert (
        load_model(folder, "cpu").class_names
        == plain.class_names
        == ("background", "left", "right", "middle")
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_target_": "RandFlipd", "keys": "image"}, "random"),
        ({"_target_": "ScaleIntensityd", "keys": ["image", "label"]}, "image, label"),
        ({"_target_": "ScaleIntensity"}, "dictionary"),
    ],
)
def test_preprocessing_that_is_not_for_a_scan_alone_is_refused(tmp_path, network, change, message):
    folder = bundle(tmp_path / "bundle", network, script=False)
    path = folder / "configs" / "inference.json"
    config = json.loads(path.read_text())
    config["preprocessing"]["transforms"].append(change)
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError, match=message):
        load_model(folder, "cpu")
