"""A small cohort and a small model for the tests of flows."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
import xarray as xr
import yaml
from monai.networks.nets import UNet
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter

CLASS_NAMES = ["background", "left", "right", "middle"]
ARGUMENTS = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 4,
    "channels": [4, 8],
    "strides": [2],
    "num_res_units": 1,
    "act": "GELU",
}


def write_model(folder: Path, *, seed: int = 0, n_channels: int = 1) -> Path:
    """A network of which every class wins somewhere, as a model description."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    network = UNet(**ARGUMENTS | {"in_channels": n_channels})
    save_file(network.state_dict(), folder / "model.safetensors")
    description = {
        "name": "small",
        "network": {"name": "UNet", "arguments": ARGUMENTS | {"in_channels": n_channels}},
        "weights": "model.safetensors",
        "n_channels": n_channels,
        "class_names": CLASS_NAMES,
        "windows": {"shape": [16, 16, 16], "overlap": 0.25, "blend": "gaussian"},
        "preprocessing": {"kind": "ct", "spacing_mm": 2.0, "hu_range": [-1000, 1000]},
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(description))
    return folder


def write_scan(path: Path, *, seed: int = 0, shape: tuple[int, int, int] = (24, 20, 22)) -> Path:
    """A smooth random CT in LPS orientation, int16 HU."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2.0)
    hu = (700 * noise / np.abs(noise).max()).astype(np.int16)
    image = nib.Nifti1Image(hu, np.diag([-2.0, -2.0, 2.0, 1.0]))
    nib.save(image, path)
    return path


def arrays(store: Path) -> dict[str, bytes]:
    """Chunks, rows, and matrices as they are seen, by name: what is asked to be equal bit for bit."""
    chunks = [path for path in sorted(store.glob("scans/**/c/**/*")) if path.is_file()]
    found = {str(path.relative_to(store)): path.read_bytes() for path in chunks}
    rows = sorted(store.glob("rows/*/*/*.npz"))
    found |= {str(path.parent.relative_to(store)): path.read_bytes() for path in rows}
    seen = store / "importance.zarr" / "zarr.json"
    nodes = json.loads(seen.read_text())["consolidated_metadata"]["metadata"] if seen.exists() else ()
    for group in (
        path for path in nodes if "/" not in path or (path.count("/") == 1 and path.endswith("/global"))
    ):
        with xr.open_zarr(seen.parent, group=group) as opened:
            matrices = opened.sortby("scan") if "scan" in opened.dims else opened.load()
        found |= {f"{group}/{name}": field.values.tobytes() for name, field in matrices.variables.items()}
    return found
