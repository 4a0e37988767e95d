"""Commands about poison sets: whether one obeys its rules, and the benchmark's classic form.

A set is a file of ours (.safetensors) or a folder of the benchmark's pickles, which are read and
never executed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from poisoning import catalog, check, classic, poison_set
from poisoning.catalog import Budget
from poisoning.check import BudgetBroken, Perceptibility
from poisoning.poison_set import PoisonSet, PoisonSetError
from poisoning.spec import BENCHMARK_SETUPS, FieldError

if TYPE_CHECKING:
    from poisoning.data import LoadedDataset

REFUSED = 1
EPS_255 = 8.0  # the benchmark's
Add = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]


def add_commands(add: Add, data_dir: Path) -> None:
    """The parsers of ``check`` and ``convert``; ``add`` makes one of name, command and help."""
    one = add("check", _check, "check a poison set exactly, on its stored pixels")
    _add_set(one, data_dir)
    one.add_argument("--eps", type=float, help="budget in steps of 1/255; else its own, or 8")
    one.add_argument("--tolerance", choices=("none", "reference"), default="none",
                     help="reference: 9/255, as the benchmark's code allows")  # fmt: skip

    one = add("convert", _convert, "turn a classic folder into a poison set, or the other way")
    _add_set(one, data_dir)
    one.add_argument("--out", type=Path, default=Path("results"), help="folder to write into")


def _add_set(parser: argparse.ArgumentParser, data_dir: Path) -> None:
    parser.add_argument("set", type=Path, help="a .safetensors file, or a folder of pickles")
    parser.add_argument("--dataset", help="what it was made from; else its own, or cifar10")
    parser.add_argument("--data-dir", type=Path, default=data_dir)


def _check(given: argparse.Namespace) -> int:
    found, dataset = _read(given)
    images, labels = dataset.train.images.numpy(), dataset.train.labels.numpy()
    try:
        if given.tolerance == "reference":
            rule = f"l-inf {check.REFERENCE_TOLERANCE_255}/255, as the benchmark's code has it"
            seen = check.check_as_reference(found, images, labels)
        else:
            budget, eps_255 = _rule(found, given.eps)
            rule = budget if eps_255 is None else f"{budget} {eps_255:g}/255"
            seen = check.check(found, images, labels, budget, eps_255)
    except BudgetBroken as error:
        print(f"refused: {error.field}: {error.message}", file=sys.stderr)
        return REFUSED
    _describe(found, dataset, seen, rule)
    for name in BENCHMARK_SETUPS:
        index = _setup(found, name, given.data_dir)
        if index is not None:
            print(f"made for setup {index} of {name}")
    return 0


def _rule(found: PoisonSet, eps_255: float | None) -> tuple[Budget, float | None]:
    """The budget of the attack that a set says it is from; l-inf where it says none."""
    attack = found.manifest.get("attack")
    if not isinstance(attack, dict):
        return "linf", EPS_255 if eps_255 is None else eps_255
    budget = catalog.attack(str(attack.get("name"))).budget
    if budget in ("none", "unbounded"):
        return (budget, None) if eps_255 is None else ("linf", eps_255)
    return budget, float(attack.get("eps_255", EPS_255)) if eps_255 is None else eps_255


def _describe(found: PoisonSet, dataset: LoadedDataset, seen: Perceptibility, rule: str) -> None:
    base, target = (dataset.spec.classes[i] for i in (found.base_class, found.target_label))
    print(f"admitted ({rule}): {len(found.poisons)} poisons of class {base}; the target: {target}")
    print(f"l-inf {seen.linf_255}/255, mean l2 {seen.mean_l2:.3f}, SSIM {seen.ssim:.3f}")


def _setup(found: PoisonSet, name: str, data_dir: Path) -> int | None:
    from poisoning.data import DataError, setups

    try:
        return classic.matching(found, setups.read_list(name, data_dir))
    except DataError:
        return None


def _convert(given: argparse.Namespace) -> int:
    found, _ = _read(given)
    if given.set.is_dir():
        print(poison_set.save(found, given.out))
    else:
        print(classic.write(found, given.out / given.set.stem))
    return 0


def _read(given: argparse.Namespace) -> tuple[PoisonSet, LoadedDataset]:
    """The set, and the data set it was made from. Raises FieldError."""
    from poisoning.data import DataError, load

    try:
        if not given.set.is_dir():
            found = poison_set.load(given.set)
            dataset = load(_dataset_of(found, given.dataset), given.data_dir)
            if found.target_label >= len(dataset.spec.classes):
                raise FieldError("--dataset", f"{dataset.spec.title} has no such target class")
            return found, dataset
        dataset = load(given.dataset or "cifar10", given.data_dir)
        images = classic.Images(
            dataset.train.images.numpy(),
            dataset.test.images.numpy(),
            dataset.test.labels.numpy(),
        )
        origin = {"dataset": dataset.spec.name, "dataset_md5": dataset.md5}
        return replace(classic.read(given.set, images), manifest=origin), dataset
    except PoisonSetError as error:
        raise FieldError(f"set.{error.field}", error.message) from None
    except DataError as error:
        raise FieldError("--dataset", error.message, error.remedy) from None


def _dataset_of(found: PoisonSet, asked: str | None) -> str:
    return asked or str(found.manifest.get("dataset", "cifar10"))
