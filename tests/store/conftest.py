"""The same tests on a local path and on an S3 server."""

import itertools

import boto3
import numpy as np
import pytest
import torch
from moto.server import ThreadedMotoServer

from agg2exp_core.store import open_store
from agg2exp_core.types import Grid, Prediction, Scan


@pytest.fixture(scope="session")
def s3_endpoint():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


_BUCKETS = (f"bucket-{n}" for n in itertools.count())


@pytest.fixture
def s3_uri(s3_endpoint, monkeypatch):
    for name, value in {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = next(_BUCKETS)
    boto3.client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/some/prefix"


@pytest.fixture(params=["local", "s3"])
def uri(request, tmp_path):
    return str(tmp_path / "store") if request.param == "local" else request.getfixturevalue("s3_uri")


@pytest.fixture
def store(uri):
    return open_store(uri, create=True)


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
