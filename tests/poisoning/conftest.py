"""One thread: the tests' networks are small, and other processes want the cores too."""

import pytest
import torch

from poisoning import data


@pytest.fixture(autouse=True, scope="session")
def single_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits() -> data.LoadedDataset:
    return data.load("digits_5_9", ".")


@pytest.fixture(scope="session")
def cifar10(real_data) -> data.LoadedDataset:
    return data.load("cifar10", real_data)
