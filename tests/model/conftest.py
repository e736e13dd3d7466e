"""What several tests of networks share."""

import pytest
import torch


@pytest.fixture
def one_thread():
    """Small networks are quicker without threads, and the same bit by bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
