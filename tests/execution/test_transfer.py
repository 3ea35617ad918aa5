import threading

import numpy as np
import pytest
import torch

from agg2exp_core.execution import made_ahead, to_device, to_host

GPU = torch.device("cuda")


def test_beside_a_gpu_the_next_one_is_made_meanwhile():
    began = [threading.Event() for _ in range(3)]
    makers = []

    def make(i):
        began[i].set()
        makers.append(threading.current_thread())
        return i

    for i in made_ahead([lambda i=i: make(i) for i in range(3)], GPU):
        assert began[min(i + 1, 2)].wait(10)
    assert i == 2
    assert threading.main_thread() not in makers


def test_without_one_each_is_made_when_it_is_asked_for():
    made = made_ahead([lambda: 1, lambda: 1 / 0], torch.device("cpu"))
    assert next(made) == 1
    with pytest.raises(ZeroDivisionError):
        next(made)


def test_an_error_arrives_in_its_turn_and_the_thread_ends():
    before = set(threading.enumerate())
    made = made_ahead([lambda: 1, lambda: 1 / 0, lambda: 2], GPU)
    assert next(made) == 1
    with pytest.raises(ZeroDivisionError):
        next(made)
    left = made_ahead([lambda: 1] * 3, GPU)
    assert next(left) == 1
    left.close()
    assert set(threading.enumerate()) <= before


def test_there_and_back():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    there = to_device(values, torch.zeros(0, dtype=torch.float64))
    assert there.dtype == torch.float64
    assert np.array_equal(to_host(there), values)
