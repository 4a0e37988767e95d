"""Labelled images: load one data set by its name in the catalogue."""

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import torch

from poisoning import catalog
from poisoning.spec import BENCHMARK_SETUPS

DATA_FIELD = "data.dataset"


class DataError(Exception):
    """Images that cannot be had; ``field`` and ``remedy`` speak to the person who asked."""

    def __init__(self, message: str, remedy: str, field: str = DATA_FIELD) -> None:
        self.message, self.remedy, self.field = message, remedy, field
        super().__init__(f"{message}; {remedy}")


class DataMissing(DataError):
    """The files are not in the data folder."""


class DataCorrupt(DataError):
    """A file is there, and is not what it should be; ``message`` names it."""


@dataclass(frozen=True)
class Split:
    """Images and their labels, on the CPU."""

    images: torch.Tensor  # uint8 [N, C, H, W]
    labels: torch.Tensor  # int64 [N]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class LoadedDataset:
    """One data set in memory; ``spec`` is its row in the catalogue."""

    spec: catalog.Dataset
    train: Split
    test: Split

    @cached_property
    def md5(self) -> str:
        """md5 of every pixel and label, train before test: what the results rest on."""
        text = hashlib.md5(usedforsecurity=False)
        for split in (self.train, self.test):
            text.update(split.images.contiguous().numpy().data)
            text.update(split.labels.contiguous().numpy().data)
        return text.hexdigest()


def load(name: str, data_dir: str | Path) -> LoadedDataset:
    """The data set ``name``, read once per process.

    Raises UnknownName, DataMissing (the files are not in ``data_dir``) or DataCorrupt.
    """
    return _load(name, str(Path(data_dir).expanduser().resolve()))


@lru_cache(maxsize=4)
def _load(name: str, data_dir: str) -> LoadedDataset:
    row = catalog.dataset(name)
    train, test = catalog.resolve(row.load)(Path(data_dir))
    return LoadedDataset(row, train, test)


def download(name: str, data_dir: str | Path) -> None:
    """Fetch what is published under ``name`` into ``data_dir``: a data set's files, if it has
    any, or one of the benchmark's lists of setups.

    Raises UnknownName, or DataMissing where it cannot be fetched.
    """
    folder = Path(data_dir).expanduser()
    if name in BENCHMARK_SETUPS:
        from poisoning.data import setups

        setups.download(name, folder)
        return
    row = catalog.dataset(name)
    if row.folder is None:
        return
    if row.download is None:
        raise DataMissing(
            f"{row.title} has no download", f"unpack {row.url} as {folder / row.folder}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        catalog.resolve(row.download)(folder)
    except (OSError, RuntimeError) as error:
        raise DataMissing(f"{row.title} cannot be fetched ({error})", f"see {row.url}") from error
