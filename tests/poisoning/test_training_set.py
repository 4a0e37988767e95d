"""The composition of the poisoned training set, index by index, against an obvious loop."""

import pytest
import torch

from poisoning.data import setups
from poisoning.data.training_set import clean_indices
from poisoning.events import Setup
from poisoning.spec import DataSpec, FieldError

CIFAR = DataSpec(setups="cifar10_transfer_learning")


def one_by_one(labels: list[int], size: int, classes: int, setup: Setup) -> list[int]:
    """Walk through the training split, take an image while its class still wants one."""
    wanted = {label: size // classes for label in range(classes)}
    wanted[setup.base_class] -= len(setup.base_indices)
    taken = []
    for index, label in enumerate(labels):
        if index not in setup.base_indices and wanted[label] > 0:
            wanted[label] -= 1
            taken.append(index)
    return taken


@pytest.mark.parametrize("size", [2500, 500])
def test_all_benchmark_setups_on_real_cifar10(size, shared, cifar10, tmp_path):
    (tmp_path / "setups").symlink_to(shared / "setups")
    spec = CIFAR.model_copy(update={"train_size": size})
    labels = cifar10.train.labels.tolist()
    for index in range(100):
        setup = setups.setup(spec, cifar10, 0, index, tmp_path)
        found = clean_indices(cifar10.train.labels, spec, setup)
        assert found.tolist() == one_by_one(labels, size, 10, setup)
        counts = cifar10.train.labels[found].bincount(minlength=10)
        expected = [size // 10 - 25 * (label == setup.base_class) for label in range(10)]
        assert counts.tolist() == expected
        assert not set(found.tolist()) & set(setup.base_indices)


def test_the_from_scratch_set_is_whole(shared, cifar10, tmp_path):
    (tmp_path / "setups").symlink_to(shared / "setups")
    spec = DataSpec(setups="cifar10_from_scratch", train_size=50_000, poisons=500)
    setup = setups.setup(spec, cifar10, 0, 0, tmp_path)
    found = clean_indices(cifar10.train.labels, spec, setup)
    assert len(found) == 49_500
    assert set(found.tolist()) | set(setup.base_indices) == set(range(50_000))


def test_digits_with_uneven_train_size(digits):
    spec = DataSpec(dataset="digits_5_9", train_size=403, poisons=20)
    setup = setups.setup(spec, digits, 0, 0, ".")
    found = clean_indices(digits.train.labels, spec, setup)
    assert found.dtype == torch.int64
    assert found.tolist() == one_by_one(digits.train.labels.tolist(), 403, 5, setup)
    assert len(found) == 80 * 5 - 20


def test_a_class_that_is_too_small_is_named(digits):
    spec = DataSpec(dataset="digits_5_9", train_size=655, poisons=5)
    setup = Setup(target_class=1, target_index=0, base_class=0, base_indices=(0,))
    with pytest.raises(FieldError, match=r"data\.train_size.*class"):
        clean_indices(digits.train.labels, spec, setup)


def test_more_poisons_than_places_is_refused(digits):
    spec = DataSpec(dataset="digits_5_9", train_size=25, poisons=5)
    bases = tuple(torch.where(digits.train.labels == 0)[0][:6].tolist())
    setup = Setup(target_class=1, target_index=0, base_class=0, base_indices=bases)
    with pytest.raises(FieldError, match="cannot give -1"):
        clean_indices(digits.train.labels, spec, setup)
