"""On which device a test runs, and the figures that tests found on it."""

import pytest
import torch

_FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    """The CPU, and with ``-m gpu`` the GPU."""
    return request.param if request.param == "cpu" else request.getfixturevalue("gpu")


@pytest.fixture
def gpu():
    if not torch.cuda.is_available():
        pytest.skip(f"PyTorch {torch.__version__} sees no CUDA device here")
    return "cuda"


@pytest.fixture
def figure(request):
    """Write down a figure for the end of the run."""
    return request.config.stash.setdefault(_FIGURES, []).append


def pytest_terminal_summary(terminalreporter, config):
    if torch.cuda.is_available() and (found := config.stash.get(_FIGURES, None)):
        terminalreporter.section(f"found on {torch.cuda.get_device_name()} by PyTorch {torch.__version__}")
        for line in found:
            terminalreporter.line(line)
