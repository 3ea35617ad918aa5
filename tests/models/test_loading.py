"""Every kind of model gives the same logits as the network it was made of."""

import json
import shutil
import warnings

import monai.transforms
import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from monai.networks.nets import UNet
from safetensors.torch import save_file

from agg2exp_core import load_scan
from agg2exp_core.attribution import attribute
from agg2exp_core.errors import ModelError, UsageError
from agg2exp_core.models import check_network, load_model, wrap_network
from agg2exp_core.prediction import predict, sliding_logits
from agg2exp_core.types import WindowSettings
from tests.models.monai_bundle import ARGUMENTS, bundle, scripted, small_network
from tests.networks import CLASS_NAMES, random_image

WINDOWS = {"shape": [16, 16, 16], "overlap": 0.5, "blend": "gaussian"}
DESCRIPTION = {
    "name": "small",
    "class_names": list(CLASS_NAMES),
    "windows": WINDOWS,
    "preprocessing": {"kind": "ct", "spacing_mm": 2.0, "hu_range": [-1000, 1000]},
}
IMAGE = random_image(1, 20, 16, 18, dtype=torch.float32)


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def expected(network):
    return sliding_logits(wrap_network(network, CLASS_NAMES, (16, 16, 16), 0.5, "gaussian"), IMAGE)


def write(path, content):
    path.write_text(yaml.safe_dump(content))
    return path


def described(folder, net, **changes):
    save_file(net.state_dict(), folder / "weights.safetensors")
    network_spec = {"name": "UNet", "arguments": ARGUMENTS}
    content = DESCRIPTION | {"weights": "weights.safetensors", "network": network_spec} | changes
    return write(folder / "model.yaml", {key: value for key, value in content.items() if value is not None})


@pytest.fixture(params=["yaml", "folder", "pt weights", "bundle", "scripted bundle", "ts", "pt2"])
def ref(request, tmp_path, network):
    match request.param:
        case "yaml":
            return described(tmp_path, network)
        case "folder":
            return described(tmp_path, network).parent
        case "pt weights":
            torch.save({"state_dict": network.state_dict()}, tmp_path / "weights.pt")
            return described(tmp_path, network, weights="weights.pt")
        case "bundle" | "scripted bundle":
            return bundle(tmp_path / "bundle", network, script=request.param == "scripted bundle")
        case "ts":
            scripted(network).save(tmp_path / "net.ts")
            write(tmp_path / "net.yaml", DESCRIPTION | {"weights": "net.ts"})
            return tmp_path / "net.ts"
        case _:
            torch.export.save(
                torch.export.export(network, (torch.zeros(1, 1, 16, 16, 16),)), tmp_path / "net.pt2"
            )
            write(tmp_path / "net.yaml", DESCRIPTION | {"weights": "net.pt2"})
            return tmp_path / "net.pt2"


def test_every_kind_gives_the_same_logits_and_gradients(ref, network, expected):
    model = load_model(ref, "cpu")
    check_network(model)
    assert model.class_names == CLASS_NAMES
    assert (model.windows.shape, model.windows.overlap, model.windows.blend) == (
        (16, 16, 16),
        0.5,
        "gaussian",
    )
    torch.testing.assert_close(sliding_logits(model, IMAGE), expected, rtol=1e-4, atol=1e-5)
    reference = wrap_network(network, CLASS_NAMES, (16, 16, 16), 0.5, "gaussian")
    prediction = predict(reference, IMAGE)
    ours, theirs = (
        list(attribute(m, IMAGE, "vanilla_gradient", prediction=prediction)) for m in (model, reference)
    )
    for one, other in zip(ours, theirs, strict=True):
        assert abs(one.values - other.values).max() <= 1e-4 * abs(other.values).max()


def test_identity_follows_weights_and_settings(tmp_path, network):
    first = load_model(described(tmp_path, network), "cpu").fingerprint
    assert load_model(described(tmp_path, network), "cpu").fingerprint == first
    seen = {first}
    for change in (
        {"windows": WINDOWS | {"overlap": 0.25}},
        {"class_names": [*CLASS_NAMES[:3], "other"]},
        {"preprocessing": {"kind": "ct", "spacing_mm": 3.0}},
    ):
        seen.add(load_model(described(tmp_path, network, **change), "cpu").fingerprint)
    torch.manual_seed(12)
    seen.add(load_model(described(tmp_path, UNet(**ARGUMENTS)), "cpu").fingerprint)
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": None}, "weights: nothing"),
        ({"weights": "elsewhere.safetensors"}, "elsewhere"),
        ({"colour": "red"}, "colour: 'colour'; allowed: class_names, weights, windows"),
        ({"network": {"name": "Unet3000"}}, "a class in monai.networks.nets"),
        ({"network": {"name": "UNet", "arguments": {"depth": 3}}}, "arguments that UNet refuses"),
        ({"network": {"name": "UNet", "arguments": ARGUMENTS | {"channels": [4, 9]}}}, "another network"),
        ({"network": {"name": "UNet", "arguments": ARGUMENTS | {"strides": [[]]}}}, "arguments that UNet"),
        ({"preprocessing": {"kind": "mr"}}, "preprocessing.kind: 'mr'; allowed: ct, monai"),
        ({"preprocessing": "ct"}, "preprocessing: 'ct'; allowed: settings by name"),
        ({"preprocessing": {"spacing_mm": 2.0}}, "preprocessing.kind: None; allowed: ct, monai"),
        (
            {"preprocessing": {"kind": "ct", "spacing": 2}},
            "preprocessing.spacing: 'spacing'; allowed: kind, spacing_mm",
        ),
        ({"preprocessing": {"kind": "ct", "spacing_mm": "two"}}, "spacing_mm: 'two'; allowed: a number"),
        ({"preprocessing": {"kind": "ct", "hu_range": [1, 2, 3]}}, "hu_range: .*; allowed: 2 values"),
        ({"preprocessing": {"kind": "ct", "hu_range": [3, 2]}}, "hu_range: .*; allowed: low < high"),
        ({"preprocessing": {"kind": "monai"}}, "preprocessing.transforms: nothing"),
        ({"preprocessing": {"kind": "monai", "transforms": ["Flip"]}}, "transforms: 'Flip'; allowed: names"),
        ({"preprocessing": {"kind": "monai", "transforms": [{"_target_": "Twistd"}]}}, "runs code"),
        (
            {"preprocessing": {"kind": "monai", "transforms": [{"_target_": "Spacingd", "keys": "image"}]}},
            "'preprocessing' that fails",
        ),
        ({"n_channels": "one"}, "n_channels: 'one'; allowed: a whole number"),
        ({"n_channels": 0}, "n_channels: 0; allowed: 1 or more"),
        ({"activation": "relu"}, "activation: 'relu'; allowed: softmax, sigmoid, regions"),
        ({"class_names": ["only"]}, "class_names: .*; allowed: two or more different names"),
        ({"windows": None}, "windows: nothing"),
        ({"windows": {"shape": [16, 16, 16], "lap": 1}}, "windows.lap: 'lap'; allowed: shape, overlap"),
        (
            {"windows": {"shape": [16, 16, 16], "overlap": 1}},
            "windows.overlap: 1; allowed: 0 or more, less than 1",
        ),
        ({"windows": {"shape": [16, 16]}}, "windows.shape: .*; allowed: 3 values"),
    ],
)
def test_a_wrong_description_is_refused(tmp_path, network, changes, message):
    with pytest.raises(ModelError, match=message) as refused:
        load_model(described(tmp_path, network, **changes), "cpu")
    assert str(refused.value).startswith(str(tmp_path))


def test_what_a_description_leaves_out_has_a_default(tmp_path, network):
    model = load_model(
        described(tmp_path, network, name=None, windows={}, preprocessing={"kind": "ct"}), "cpu"
    )
    assert (model.name, model.n_channels) == ("model", 1)
    assert model.windows == WindowSettings(shape=(96, 96, 96), overlap=0.25, blend="constant")
    assert dict(model.preprocessing.describe())["hu_range"] == [-1024.0, 1024.0]


TRANSFORMS = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
    {"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 2.0, 2.5], "mode": "bilinear"},
    {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True, "channel_wise": True},
]


def test_a_description_may_bring_monai_transforms_for_several_channels(tmp_path):
    """MR, say: no Hounsfield units, channels normalised one by one."""
    scan_file = tmp_path / "mr.nii.gz"
    values = np.random.default_rng(0).uniform(0, 900, (20, 18, 16, 2)).astype(np.float32)
    nib.save(nib.Nifti1Image(values, np.diag([-2.0, -2.0, 2.0, 1.0])), scan_file)
    net = UNet(**ARGUMENTS | {"in_channels": 2})
    path = described(
        tmp_path,
        net,
        n_channels=2,
        network={"name": "UNet", "arguments": ARGUMENTS | {"in_channels": 2}},
        preprocessing={"kind": "monai", "transforms": TRANSFORMS},
    )
    model = load_model(path, "cpu")
    check_network(model)
    scan = load_scan(scan_file, model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI announces changes of its defaults
        steps = [getattr(monai.transforms, t["_target_"]) for t in TRANSFORMS[1:]]
        made = [
            step(**{k: v for k, v in t.items() if k != "_target_"})
            for step, t in zip(steps, TRANSFORMS[1:], strict=True)
        ]
        read = monai.transforms.LoadImaged("image", reader="NibabelReader", ensure_channel_first=True)
        expected = monai.transforms.Compose([read, *made])({"image": str(scan_file)})["image"]
    assert torch.equal(scan.image, expected.as_tensor())
    assert np.allclose(scan.grid.affine, expected.affine)
    other = [*TRANSFORMS[:-1], TRANSFORMS[-1] | {"nonzero": False}]
    changed = yaml.safe_load(path.read_text()) | {"preprocessing": {"kind": "monai", "transforms": other}}
    assert load_model(write(path, changed), "cpu").fingerprint != model.fingerprint


def test_a_model_whose_channels_do_not_fit_is_refused_at_once(tmp_path, network):
    model = load_model(described(tmp_path, network, n_channels=2), "cpu")
    with pytest.raises(ModelError, match="n_channels"):
        check_network(model)
    named = load_model(described(tmp_path, network, class_names=["background", "one"]), "cpu")
    with pytest.raises(ModelError, match="class names"):
        check_network(named)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_wrappers_leave_their_names_before_those_of_tensors(tmp_path, network, prefix):
    path = described(tmp_path, network)
    state = {prefix + name: value for name, value in network.state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors")
    loaded = load_model(path, "cpu").network.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in network.state_dict().items())


def test_pickled_code_is_never_run(tmp_path, network):
    torch.save(network, tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(described(tmp_path, network, weights="weights.pt"), "cpu")


def test_what_is_no_model_is_refused(tmp_path, network):
    (tmp_path / "net.ts").write_bytes(b"junk")
    for ref, message in (
        (tmp_path / "gone", "nothing there"),
        (tmp_path / "net.ts", "without a description"),
    ):
        with pytest.raises(ModelError, match=message):
            load_model(ref, "cpu")
    write(tmp_path / "net.yaml", DESCRIPTION | {"weights": "net.ts"})
    with pytest.raises(ModelError, match="no program"):
        load_model(tmp_path / "net.ts", "cpu")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="no model that is known"):
        load_model(tmp_path / "empty", "cpu")
    with pytest.raises(UsageError, match="doctor"):
        load_model(described(tmp_path, network), "cuda:7")


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        (lambda c: c.pop("inferer"), "no 'inferer'"),
        (lambda c: c["inferer"].update(_target_="SimpleInferer"), "inferer"),
        (lambda c: c["inferer"].update(cval=1.0), "padding"),
        (lambda c: c["network_def"].update(channels=["a"]), "network_def"),
        (lambda c: c["inferer"].update(roi_size=["a", 1, 1]), "three numbers of voxels"),
        (lambda c: c["inferer"].update(overlap={}), "a share"),
        (lambda c: c["inferer"].update(overlap=[0.5, 0.25, 0.5]), "one overlap for all axes"),
        (lambda c: c["inferer"].update(sigma_scale=[0.1, 0.1, 0.2]), "one sigma_scale"),
        (lambda c: c["preprocessing"]["transforms"].append({}), "in place of a transform"),
    ],
)
def test_a_bundle_that_cannot_be_honoured_is_refused(tmp_path, network, breakage, message):
    folder = bundle(tmp_path / "bundle", network, script=False)
    config = json.loads((folder / "configs" / "inference.json").read_text())
    breakage(config)
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=message):
        load_model(folder, "cpu")
    shutil.rmtree(folder / "models")
    with pytest.raises(ModelError):
        load_model(folder, "cpu")


def test_real_bundle(real_data):
    model = load_model(real_data / "models" / "meshnet_gwm", "cpu")
    assert model.class_names == ("background", "White Matter", "Grey Matter")
    assert model.windows == WindowSettings(shape=(128, 128, 128), overlap=0.25, blend="constant")
