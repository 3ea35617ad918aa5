"""A folder of nnU-Net gives what nnU-Net's own predictor gives on the same scan."""

import json
import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

from agg2exp_core import attribute, load_model, load_scan, predict
from agg2exp_core.errors import ModelError, ScanError
from agg2exp_core.models import check_network
from agg2exp_core.models.nnunet import NnunetOptions
from agg2exp_core.prediction import sliding_logits
from agg2exp_core.types import Grid, Volume
from agg2exp_core.volumes import preprocess, read_nifti
from tests.models import nnunet_folder

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of each kind, made when it is first asked for."""
    folders = {}

    def make(kind):
        if kind not in folders:
            root = tmp_path_factory.mktemp(kind)
            folds = (0, 1) if kind == "plain" else (0,)
            plans = nnunet_folder.plan(root, **KINDS[kind])
            folders[kind] = nnunet_folder.train(root, plans, folds)
        return folders[kind]

    return make


KINDS = {
    "plain": {},
    "regions": {"labels": nnunet_folder.REGIONS, "residual": True},
    "thick slices": {"spacing": (2.0, 5.5, 2.0), "channels": ("MR",)},
}


@pytest.fixture(scope="module")
def scan_file(tmp_path_factory):
    return nnunet_folder.write_scan(tmp_path_factory.mktemp("scan") / "scan.nii.gz", seed=5)


def described(folder, tmp_path, **options):
    (tmp_path / "model.yaml").write_text(yaml.safe_dump({"nnunet": str(folder), **options}))
    return load_model(tmp_path / "model.yaml", "cpu")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("plain", {"folds": [1]}),
        ("plain", {}),
        ("plain", {"folds": [0], "mirroring": True, "step": 0.7}),
        ("regions", {}),
        ("thick slices", {}),
    ],
)
def test_predictions_agree_with_nnunet(trained, scan_file, tmp_path, kind, options):
    folder = trained(kind)
    folds = options.get("folds", (0, 1) if kind == "plain" else (0,))
    model = described(folder, tmp_path, **options)
    scan = load_scan(scan_file, model)
    mirroring, step = options.get("mirroring", False), options.get("step", 0.5)
    image, expected, labels = nnunet_folder.predicted(folder, scan_file, folds, mirroring, step)
    np.testing.assert_array_equal(scan.image.numpy(), image)
    logits = sliding_logits(model, scan)
    own = logits[1:] if kind == "regions" else logits
    difference, peak = float((own - expected).abs().max()), float(expected.abs().max())
    assert difference <= 1e-5 * peak
    equal = np.mean(predict(model, scan).labels == labels)
    assert equal >= 0.99
    assert len(np.unique(labels)) >= 3


@pytest.mark.parametrize("kind", ["plain", "thick slices"])
@pytest.mark.parametrize("orientation", [None, "RAS"])
def test_the_affine_says_where_each_voxel_came_from(trained, scan_file, tmp_path, kind, orientation):
    """A scan whose intensities are its own world coordinates still says so after preprocessing."""
    model = described(trained(kind), tmp_path, **({"orientation": orientation} if orientation else {}))
    volume = read_nifti(scan_file)
    indices = np.stack([*np.indices(volume.grid.shape), np.ones(volume.grid.shape)])
    for axis in range(3):
        world = np.tensordot(volume.grid.affine[axis], indices, 1).astype(np.float32)
        known = Volume(world - 1000, volume.grid, "", "")
        known.values[:3], known.values[:, :, -2:] = 0, 0
        preprocessing = replace(model.preprocessing, configuration=Plain(model.preprocessing.configuration))
        image, affine = preprocessing(known)
        if orientation and kind == "plain":
            assert nib.aff2axcodes(affine) == ("S", "A", "R")
        there = np.stack([*np.indices(image.shape[1:]), np.ones(image.shape[1:])])
        expected = np.tensordot(affine[axis], there, 1) - 1000
        inner = (slice(2, -2),) * 3
        np.testing.assert_allclose(image[0].numpy()[inner], expected[inner], atol=1e-2)


class Plain:
    """A configuration that leaves intensities alone and resamples linearly."""

    def __init__(self, configuration):
        self._configuration = configuration
        self.normalization_schemes = ["NoNormalization"]

    def resampling_fn_data(self, data, *arguments):
        from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape

        return resample_data_or_seg_to_shape(data, *arguments, order=1, order_z=1)

    def __getattr__(self, name):
        return getattr(self._configuration, name)


def test_a_model_can_be_explained_and_says_what_it_is(trained, scan_file, tmp_path):
    folder = trained("plain")
    model = load_model(folder.parent, "cpu")  # as the weights of TotalSegmentator are laid out
    check_network(model)
    assert model.class_names == ("background", "left", "right", "middle")
    assert (model.windows.grid, model.windows.overlap, model.windows.blend) == ("nnunet", 0.5, "gaussian")
    assert model.name == "Dataset297_Tiny"
    json.dumps(model.preprocessing.describe())
    assert model.origin["checkpoints"] == [f"fold_{n}/checkpoint_final.pth" for n in (0, 1)]
    assert model.origin["mirrored_axes"] == []
    assert described(folder, tmp_path, mirroring=True).origin["mirrored_axes"] == [0, 1, 2]
    scan = load_scan(scan_file, model)
    items = list(attribute(model, scan, "vanilla_gradient", classes=["left"]))
    assert items[0].values.shape == scan.grid.shape
    assert np.abs(items[0].values).max() > 0
    changes = [{"folds": [0]}, {"mirroring": True}, {"step": 1.0}, {"orientation": "RAS"}]
    prints = {described(folder, tmp_path, **change).fingerprint for change in changes}
    assert len(prints | {model.fingerprint}) == 5


def edited(folder, target, name, change):
    shutil.copytree(folder, target)
    content = json.loads((target / name).read_text())
    change(content, content.get("configurations", {}).get("3d_fullres"))
    (target / name).write_text(json.dumps(content))
    return target


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("plans.json", lambda p, c: c.update(patch_size=[32, 32]), "patch_size"),
        ("plans.json", lambda p, c: c.update(previous_stage="3d_lowres"), "no cascade"),
        ("plans.json", lambda p, c: c.update(preprocessor_name="Mine"), "DefaultPreprocessor"),
        ("plans.json", lambda p, c: c.update(normalization_schemes=["RGBTo01Normalization"]), "CTNorm"),
        ("plans.json", lambda p, c: c.update(resampling_fn_data="os.system"), "resample_torch"),
        ("plans.json", lambda p, c: p.update(image_reader_writer="Tiff3DIO"), "NibabelIO"),
        ("plans.json", lambda p, c: p.update(label_manager="Mine"), "LabelManager"),
        (
            "plans.json",
            lambda p, c: c["architecture"].update(network_class_name="os.system"),
            "PlainConvUNet",
        ),
        ("plans.json", lambda p, c: c["architecture"]["arch_kwargs"].update(nonlin="os.system"), "torch.nn"),
        ("plans.json", lambda p, c: c["architecture"]["arch_kwargs"].update(n_stages="x"), "cannot use"),
        (
            "plans.json",
            lambda p, c: c["architecture"]["arch_kwargs"].update(features_per_stage=[4, 8, 8, 9]),
            "weights of another network",
        ),
        ("plans.json", lambda p, c: p.pop("configurations"), "cannot use"),
        ("plans.json", lambda p, c: c.update(patch_size=["x", 32, 32]), "cannot use"),
        ("plans.json", lambda p, c: c["architecture"].update(arch_kwargs=1), "cannot use"),
        ("dataset.json", lambda p, c: p.update(labels=None), "cannot use"),
        ("dataset.json", lambda p, c: p["labels"].pop("background"), "Background label"),
        ("dataset.json", lambda p, c: p["labels"].pop("middle"), "weights of another network"),
    ],
)
def test_plans_that_cannot_be_honoured_are_refused(trained, tmp_path, name, change, message):
    with pytest.raises(ModelError, match=message):
        load_model(edited(trained("plain"), tmp_path / "model", name, change), "cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": [4]}, "fold_4"),
        ({"folds": 0}, "folds: 0; allowed: several values"),
        ({"folds": []}, r"folds: \[\]"),
        ({"checkpoint": "checkpoint_best.pth"}, "checkpoint_best"),
        ({"orientation": "RAX"}, "three of"),
        ({"step": 0}, "step: 0; allowed: more than 0, 1 or less"),
        ({"step": "half"}, "step: 'half'; allowed: a number"),
        ({"colour": "red"}, "colour: 'colour'; allowed: .*orientation, nnunet"),
    ],
)
def test_options_without_a_meaning_are_refused(trained, tmp_path, options, message):
    with pytest.raises(ModelError, match=message):
        described(trained("plain"), tmp_path, **options)


def test_checkpoints_that_name_other_code_are_refused(trained, tmp_path):
    folder = shutil.copytree(trained("plain"), tmp_path / "model")
    path = folder / "fold_0" / "checkpoint_final.pth"
    content = torch.load(path, weights_only=False)
    torch.save({**content, "logging": NnunetOptions()}, path)
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(folder, "cpu")
    torch.save({"weights": {}}, path)
    with pytest.raises(ModelError, match="no checkpoint"):
        load_model(folder, "cpu")
    torch.save({**content, "inference_allowed_mirroring_axes": None}, path)
    with pytest.raises(ModelError, match="trained without it"):
        described(folder, tmp_path, mirroring=True, folds=[0])


def test_several_models_in_one_folder_are_not_guessed(trained, tmp_path):
    for name in ("nnUNetTrainer__nnUNetPlans__3d_fullres", "nnUNetTrainer__nnUNetPlans__3d_lowres"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "plans.json").write_text("{}")
    with pytest.raises(ModelError, match="2 trained models"):
        load_model(tmp_path, "cpu")


def test_a_scan_that_is_no_ct_or_too_thin_is_refused(trained):
    model = load_model(trained("plain"), "cpu")
    grid = Grid((4, 4, 4), np.diag([0.1, 2.0, 2.0, 1.0]))
    values = np.arange(64, dtype=np.float32).reshape(4, 4, 4) + 1
    with pytest.raises(ScanError, match="Hounsfield"):
        preprocess(Volume(values, grid, "", "scan"), model.preprocessing)
    with pytest.raises(ScanError, match="thinner"):
        model.preprocessing(Volume(values - 50, grid, "", "scan"))
