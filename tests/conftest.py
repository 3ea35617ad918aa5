"""Fixtures that every test may use."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", metavar="DIR", help="where tests of the UI leave their pictures")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real scans and models; its tests skip where there is none."""
    folder = os.environ.get("AGG2EXP_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("AGG2EXP_TEST_DATA names no folder of real scans and models")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def s3_endpoint():
    """Address of an S3 server in this process."""
    from moto.server import ThreadedMotoServer  # takes seconds, and is not everywhere

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


_BUCKETS = (f"bucket-{n}" for n in itertools.count())


@pytest.fixture
def s3_uri(s3_endpoint, monkeypatch):
    """Place for a store in an empty bucket."""
    import boto3

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


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Write an importable module; each test its own name, since modules stay imported."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write
