"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real scans and models; its tests skip where there is none."""
    folder = os.environ.get("AGG2EXP_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("AGG2EXP_TEST_DATA names no folder of real scans and models")
    return Path(folder).resolve()
