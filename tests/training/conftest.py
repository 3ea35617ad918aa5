"""What the tests of training share."""

import pytest
import torch


@pytest.fixture(scope="module")
def one_thread():
    """Sums in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
