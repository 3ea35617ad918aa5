"""Tiny bundles with random weights, laid out as the model zoo's, and MONAI's own inference with one."""

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.networks.nets import UNet

from tests.networks import CLASS_NAMES

ARGUMENTS: dict[str, Any] = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 4,
    "channels": [4, 8],
    "strides": [2],
    "num_res_units": 1,
    "act": "GELU",
}
STEPS = [
    {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
    {"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 1.7, 2.2], "mode": "bilinear"},
    {
        "_target_": "ScaleIntensityRanged",
        "keys": "image",
        "a_min": "$-@width",
        "a_max": "@width",
        "b_min": 0,
        "b_max": 1,
        "clip": True,
    },
]
SIGMOID = {
    "_target_": "Compose",
    "transforms": [
        {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
        {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
    ],
}


def small_network() -> UNet:
    """The network of the bundles."""
    torch.manual_seed(11)
    return UNet(**ARGUMENTS).eval()


def scripted(network: torch.nn.Module) -> Any:
    """The network as TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and says so in several ways
        return torch.jit.trace(network, torch.zeros(1, 1, 16, 16, 16))


def bundle(folder: Path, network: torch.nn.Module, *, script: bool) -> Path:
    """Write a bundle with `network` as TorchScript, or as a definition with weights."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    config = {
        "device": "$torch.device('cpu')",
        "network_def": {"_target_": "UNet", **ARGUMENTS},
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "ScaleIntensityd", "keys": "image"},
            ],
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [16, 16, 16],
            "overlap": 0.5,
            "mode": "gaussian",
        },
    }
    metadata = {
        "name": "small",
        "network_data_format": {
            "inputs": {"image": {"num_channels": 1}},
            "outputs": {"pred": {"channel_def": {str(i): name for i, name in enumerate(CLASS_NAMES)}}},
        },
    }
    if script:
        del config["network_def"], config["network"]
        scripted(network).save(folder / "models" / "model.ts")
    else:
        torch.save(network.state_dict(), folder / "models" / "model.pt")
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    return folder


def told_like_the_zoo(folder: Path, *, sigmoid: bool = False) -> Path:
    """Give a bundle macros, expressions, a resampling and windows with unequal sides, as the zoo's have."""
    path = folder / "configs" / "inference.json"
    config = json.loads(path.read_text())
    config["width"] = 800
    config["preprocessing"]["transforms"][0]["reader"] = "NibabelReader"  # others ask for their codecs
    config["preprocessing"]["transforms"][2:] = STEPS
    config["inferer"].update(roi_size=[16, 12, 16], sw_batch_size=3, overlap="$1 / 4")
    if sigmoid:
        config["postprocessing"] = SIGMOID
        about = json.loads((folder / "configs" / "metadata.json").read_text())
        outputs = about["network_data_format"]["outputs"]["pred"]
        outputs["channel_def"] = {str(n): name for n, name in enumerate(("core", "whole", "rim", "cyst"))}
        (folder / "configs" / "metadata.json").write_text(json.dumps(about))
    path.write_text(json.dumps(config))
    return folder


def inferred(folder: Path, scan_file: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """What MONAI makes of a scan with a bundle's own parts: the image and the stitched logits ``[L, *]``."""
    parser = ConfigParser()
    parser.read_config(str(folder / "configs" / "inference.json"))
    parser["bundle_root"] = str(folder)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # MONAI announces changes of its defaults
        image = parser.get_parsed_content("preprocessing")({"image": str(scan_file)})["image"]
        if "network" in parser.config:
            network = parser.get_parsed_content("network")
        else:
            network = torch.jit.load(folder / "models" / "model.ts")
        if (folder / "models" / "model.pt").is_file():
            network.load_state_dict(torch.load(folder / "models" / "model.pt", weights_only=True))
        logits = parser.get_parsed_content("inferer")(image[None], network.eval())[0]
    return image.as_tensor(), logits.as_tensor()
