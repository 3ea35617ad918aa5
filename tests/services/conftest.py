"""Servers that the tests of services share."""

from collections.abc import Iterator

import pytest

from tests.services.radosgw import Radosgw, installed, radosgw


@pytest.fixture(scope="session")
def gateway() -> Iterator[Radosgw]:
    """Run an S3 server of Ceph's."""
    if not installed():
        pytest.skip("Ceph's gateway is not installed (tests/services/install)")
    with radosgw() as running:
        yield running


@pytest.fixture
def uri(gateway: Radosgw, monkeypatch: pytest.MonkeyPatch) -> str:
    """Place for a store in an empty bucket of the gateway."""
    for name, value in gateway.environment.items():
        monkeypatch.setenv(name, value)
    return f"{gateway.make_bucket()}/some/prefix"
