"""What is chosen for a GPU, and that it is undone; none is needed to switch."""

import pytest
import torch
from torch.backends import cudnn
from torch.backends.cuda import matmul
from torch.utils import deterministic

from agg2exp_core.arithmetic import arithmetic

GPU = torch.device("cuda")


def switches():
    return (
        cudnn.conv.fp32_precision,
        matmul.fp32_precision,
        torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        deterministic.fill_uninitialized_memory,
        cudnn.benchmark,
        cudnn.deterministic,
    )


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("level", ["highest", "high", "medium"])
@pytest.mark.parametrize(("tf32", "told"), [(False, "ieee"), (True, "tf32")])
def test_a_gpu_is_told_how_to_multiply_and_users_get_theirs_back(level, tf32, told):
    torch.set_float32_matmul_precision(level)
    before = switches()
    with arithmetic(GPU, tf32=tf32):
        inside = switches()
        assert cudnn.allow_tf32 is matmul.allow_tf32 is tf32  # both ways of asking are answered
    assert inside[:2] == (told, told)
    assert inside[3:] == (True, True, False, False, True)
    assert switches() == before


def test_it_nests():
    with arithmetic(GPU, tf32=True):
        outer = switches()
        with arithmetic(GPU, tf32=True):
            assert switches() == outer
        with arithmetic(GPU):
            assert cudnn.conv.fp32_precision == "ieee"
        assert switches() == outer


def test_other_devices_are_left_alone():
    before = switches()
    with arithmetic(torch.device("cpu"), tf32=True):
        assert switches() == before
