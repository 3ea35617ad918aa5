"""A MONAI bundle by its name: MONAI's own download, once."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import warnings
from pathlib import Path

from agg2exp_core.errors import ModelError

SCHEME = "monai:"
"""What a bundle's name begins with as a model reference: ``monai:NAME`` or ``monai:NAME@VERSION``."""
SOURCE = "AGG2EXP_BUNDLE_SOURCE"
"""The environment variable with another source than MONAI's: an address with ``{name}`` and ``{version}``."""
FOLDER = "AGG2EXP_BUNDLES"
"""The environment variable with the folder of downloaded bundles (default ``~/.agg2exp/bundles``)."""

_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]*)(?:@([A-Za-z0-9][A-Za-z0-9_.-]*))?")


def bundle_of(ref: str) -> Path:
    """Return the folder of the bundle ``monai:NAME[@VERSION]``, downloaded if it is not there yet.

    Raises
    ------
    ModelError
        If the name is malformed, or the download fails.
    """
    parts = _NAME.fullmatch(ref.removeprefix(SCHEME))
    if parts is None:
        raise ModelError(
            ref,
            got="no name of a bundle",
            allowed="monai:NAME or monai:NAME@VERSION",
            remedy="such as monai:spleen_ct_segmentation",
        )
    name, version = parts[1], parts[2]
    folder = Path(os.environ.get(FOLDER, Path.home() / ".agg2exp" / "bundles")) / (version or "latest")
    if not (folder / name / "configs").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _download(ref, name, version, Path(scratch))
            shutil.rmtree(folder / name, ignore_errors=True)
            (Path(scratch) / name).rename(folder / name)
    return folder / name


def _download(ref: str, name: str, version: str | None, folder: Path) -> None:
    from monai.bundle import download

    source = os.environ.get(SOURCE)
    address = source.format(name=name, version=version or "latest") if source else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no hash to verify is announced for each file
            download(name, version, bundle_dir=str(folder), url=address, progress=False)
        if not (folder / name / "configs").is_dir():
            raise FileNotFoundError(f"no {name}/configs in what was downloaded")
    except Exception as error:  # the many clients of the sources raise what they like
        raise ModelError(
            ref,
            got=f"a download that fails ({type(error).__name__}: {' '.join(str(error).split())[:200]})",
            allowed="a bundle of MONAI's model zoo, or of the source that is set",
            remedy=f"check the name and the network, set {SOURCE}, or give a folder",
        ) from error
