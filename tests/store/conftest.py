"""The same tests on a local path and on an S3 server."""

import numpy as np
import pytest
import torch

from agg2exp_core.store import open_store
from agg2exp_core.types import Grid, Prediction, Scan


@pytest.fixture(params=["local", "s3"])
def uri(request, tmp_path):
    return str(tmp_path / "store") if request.param == "local" else request.getfixturevalue("s3_uri")


@pytest.fixture
def store(uri):
    return open_store(uri, create=True)


@pytest.fixture
def small_shards(monkeypatch):
    """Several shards for a few planes already."""
    monkeypatch.setattr("agg2exp_core.store.shards._LEAST_BYTES", 1)


CLASS_NAMES = ("background", "white matter", "grey_matter")
SHAPE = (9, 8, 7)


@pytest.fixture
def scan():
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0] @ np.diag([1.5, 1.25, 2.0])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn, rng.normal(size=3)
    image = torch.from_numpy(rng.normal(size=(2, *SHAPE)).astype(np.float32))
    image[0, 0, 0, :2] = torch.tensor([-0.0, 1e-42])
    return Scan("s0001", image, affine, Grid((5, 6, 7), np.diag([-1.0, 1.1, 3.3, 1.0])), "abc123")


@pytest.fixture
def prediction():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, SHAPE)
    logit, probability = rng.normal(size=(2, *SHAPE)).astype(np.float32)
    return Prediction(labels, CLASS_NAMES, logit, probability)


@pytest.fixture
def values():
    return np.random.default_rng(3).normal(size=SHAPE).astype(np.float32)
