"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) through torchvision's own classes and checksums.

The published files are pickles. Each is compared with torchvision's md5 before any is read, so
only the known files are ever unpickled.
"""

import hashlib
from pathlib import Path

import torch
from torchvision.datasets import CIFAR10, CIFAR100

from poisoning.data import DataCorrupt, DataMissing, Split


def load_cifar10(data_dir: Path) -> tuple[Split, Split]:
    """Train (50,000) and test (10,000) images; DataMissing or DataCorrupt names the file."""
    return _load(CIFAR10, "cifar10", data_dir)


def load_cifar100(data_dir: Path) -> tuple[Split, Split]:
    """Train (50,000) and test (10,000) images, fine labels; DataMissing or DataCorrupt."""
    return _load(CIFAR100, "cifar100", data_dir)


def download_cifar10(data_dir: Path) -> None:
    """Fetch the published archive into ``data_dir``, unless its files are already there."""
    CIFAR10(data_dir, download=True)


def download_cifar100(data_dir: Path) -> None:
    """Fetch the published archive into ``data_dir``, unless its files are already there."""
    CIFAR100(data_dir, download=True)


def _load(kind: type[CIFAR10], name: str, data_dir: Path) -> tuple[Split, Split]:
    remedy = f"run 'dosimeter data download {name}', or set the data folder to where it is"
    _verify(kind, data_dir / kind.base_folder, remedy)
    train, test = (_split(kind(data_dir, train=is_train)) for is_train in (True, False))
    return train, test


def _verify(kind: type[CIFAR10], folder: Path, remedy: str) -> None:
    files = [*kind.train_list, *kind.test_list, [kind.meta["filename"], kind.meta["md5"]]]
    for file_name, md5 in files:
        path = folder / file_name
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        except OSError as error:
            reason = "is not there" if isinstance(error, FileNotFoundError) else error.strerror
            raise DataMissing(f"{path} {reason}", remedy) from None
        if found.hexdigest() != md5:
            raise DataCorrupt(
                f"{path} is damaged (md5 {found.hexdigest()}, not {md5})",
                f"delete it and {remedy}",
            )


def _split(published: CIFAR10) -> Split:
    images = torch.from_numpy(published.data).permute(0, 3, 1, 2).contiguous()
    return Split(images, torch.tensor(published.targets, dtype=torch.int64))
