"""Setups: who is attacked with what. Drawn by seed, or from one of the benchmark's four lists."""

import hashlib
import json
import urllib.request
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from poisoning import inert_pickle
from poisoning.data import DataCorrupt, DataMissing, LoadedDataset
from poisoning.events import Setup
from poisoning.spec import DataSpec, FieldError, seed_for

FOLDER = "setups"  # below the data folder
FIELD = "data.setups"
SOURCE = "https://raw.githubusercontent.com/aks2203/poisoning-benchmark/master/poison_setups"
SHA256 = {  # of the benchmark's pickles
    "cifar10_transfer_learning": "2510d189785725e36aef0f36ad020cebcecebe18af2f7450a72d6f773a662485",
    "cifar10_from_scratch": "cd763e45a9dc6619f9f7d0f48613ef9c39b7ef98ce0e28cdf31da69cb30429df",
    "tinyimagenet_transfer_learning": (
        "ec46cd09c243ac6a16e93b046a3010f8770ce4a62b6ff324c94dd7b3f5fef93c"
    ),
    "tinyimagenet_from_scratch": "b09af8540f622e1208c634096aab69a2058a42370815325a72908ba1d76455ab",
}
LARGEST_LIST = 2**20  # bytes
SETUPS: TypeAdapter[list[Setup]] = TypeAdapter(list[Setup])


def setup(
    data_spec: DataSpec, dataset: LoadedDataset, seed: int, index: int, data_dir: str | Path
) -> Setup:
    """The setup of trial ``index``; the same for ever for the same arguments.

    Raises FieldError where the data set has too few images, DataMissing or DataCorrupt where a
    benchmark's list cannot be read.
    """
    if data_spec.setups == "drawn":
        return _drawn(data_spec, dataset, seed, index)
    return _listed(data_spec, dataset, index, Path(data_dir))


def _drawn(data_spec: DataSpec, dataset: LoadedDataset, seed: int, index: int) -> Setup:
    """Targets are a permutation of the eligible test images, taken in order, so that no target
    comes twice before all have come once. Base class, then base images, are uniform.
    """
    classes = dataset.spec.classes
    test_labels = dataset.test.labels
    eligible = torch.arange(len(test_labels))
    if data_spec.target_class is not None:
        eligible = eligible[test_labels == classes.index(data_spec.target_class)]
    elif data_spec.base_class is not None:
        eligible = eligible[test_labels != classes.index(data_spec.base_class)]
    order = torch.randperm(len(eligible), generator=_generator(seed, "all", "targets"))
    target_index = int(eligible[order[index % len(order)]])
    target_class = int(test_labels[target_index])

    generator = _generator(seed, index, "setup")
    others = [label for label in range(len(classes)) if label != target_class]
    drawn = others[int(torch.randint(len(others), (), generator=generator))]
    named = data_spec.base_class
    base_class = drawn if named is None else classes.index(named)
    candidates = torch.where(dataset.train.labels == base_class)[0]
    if len(candidates) < data_spec.poisons:
        raise FieldError(
            "data.poisons",
            f"class {classes[base_class]!r} has only {len(candidates)} training images",
        )
    chosen = torch.randperm(len(candidates), generator=generator)[: data_spec.poisons]
    return Setup(
        target_class=target_class,
        target_index=target_index,
        base_class=base_class,
        base_indices=tuple(candidates[chosen].tolist()),
    )


def _generator(seed: int, index: int | str, name: str) -> torch.Generator:
    return torch.Generator().manual_seed(seed_for(seed, index, name))


# --- the benchmark's lists --------------------------------------------------------------------


def _listed(data_spec: DataSpec, dataset: LoadedDataset, index: int, data_dir: Path) -> Setup:
    listed = read_list(data_spec.setups, data_dir)
    if index >= len(listed):
        raise FieldError("trials", f"{data_spec.setups} has {len(listed)} setups; ask for fewer")
    found = listed[index]
    if data_spec.poisons > len(found.base_indices):
        raise FieldError(
            "data.poisons",
            f"{data_spec.setups} has {len(found.base_indices)} base images per setup; lower it",
        )
    found = found.model_copy(update={"base_indices": found.base_indices[: data_spec.poisons]})
    if not _agrees(found, dataset):
        raise DataCorrupt(
            f"setup {index} of {data_spec.setups} does not fit {dataset.spec.title}",
            f"choose the data set the list was made for, or fetch the list anew into {data_dir}",
            FIELD,
        )
    return found


def _agrees(found: Setup, dataset: LoadedDataset) -> bool:
    """Whether the data set's own labels are those that the setup states."""
    bases = torch.tensor(found.base_indices)
    if found.target_index >= len(dataset.test) or int(bases.max()) >= len(dataset.train):
        return False
    is_target_right = int(dataset.test.labels[found.target_index]) == found.target_class
    return is_target_right and bool((dataset.train.labels[bases] == found.base_class).all())


def read_list(name: str, data_dir: Path) -> list[Setup]:
    """A benchmark's list, from ``<data_dir>/setups/<name>.json`` or its original ``.pickle``.

    The pickle is read without executing it. Raises DataMissing or DataCorrupt.
    """
    for suffix, parse in ((".json", parse_json), (".pickle", parse_pickle)):
        path = data_dir / FOLDER / f"{name}{suffix}"
        if path.is_file():
            return list(_parsed(path, parse, path.stat().st_mtime_ns))
    raise DataMissing(
        f"there is no list {name} in {data_dir / FOLDER}",
        f"run 'dosimeter data download {name}', or copy its .json or .pickle there",
        FIELD,
    )


@lru_cache(maxsize=8)
def _parsed(path: Path, parse: Any, changed: int) -> tuple[Setup, ...]:
    try:
        return tuple(parse(path.read_bytes()))
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise DataCorrupt(
            f"{path} is not a list of setups ({reason})", "delete it and fetch it anew", FIELD
        ) from None


def parse_json(content: bytes) -> list[Setup]:
    """Setups from our JSON form: a list of objects with the fields of ``events.Setup``."""
    return SETUPS.validate_json(content)


def parse_pickle(content: bytes) -> list[Setup]:
    """Setups from the benchmark's own files: a list of dictionaries of numpy integers."""
    return [
        Setup(
            target_class=int(inert_pickle.as_array(entry["target class"])),
            target_index=int(inert_pickle.as_array(entry["target index"])),
            base_class=int(inert_pickle.as_array(entry["base class"])),
            base_indices=tuple(inert_pickle.as_array(entry["base indices"]).tolist()),
        )
        for entry in inert_pickle.read(content)
    ]


def to_json(listed: list[Setup]) -> str:
    return json.dumps([entry.model_dump(mode="json") for entry in listed]) + "\n"


def download(name: str, data_dir: Path) -> None:
    """Fetch a benchmark's list into the data folder, as JSON; DataMissing where that fails."""
    target = data_dir / FOLDER / f"{name}.json"
    if target.is_file():
        return
    address = f"{SOURCE}/{name}.pickle"
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            content = answer.read(LARGEST_LIST)
    except OSError as error:
        raise DataMissing(
            f"{address} cannot be fetched ({error})", f"copy it into {target.parent}", FIELD
        ) from None
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise DataCorrupt(f"{address} is not the published list", "try again later", FIELD)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".part")
    partial.write_text(to_json(parse_pickle(content)), encoding="utf-8")
    partial.replace(target)
