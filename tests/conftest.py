"""Real images for the tests that want them, unpacked once into a cache outside the repository.

A machine with the packed files (the folder ``shared`` beside the repository, or
DOSIMETER_SHARED), and every CI, must run those tests; elsewhere they say in one line why not.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
SHARED = Path(os.environ.get("DOSIMETER_SHARED", REPOSITORY.parent / "shared"))
CACHE = Path(os.environ.get("DOSIMETER_DATA_DIR", "~/.cache/dosimeter/data")).expanduser()
NEEDED = ("cifar-10-batches-py", "cifar-100-python", "tiny-imagenet-200")
WITHOUT = "no real images here: set DOSIMETER_DATA_DIR to a folder with CIFAR-10 and CIFAR-100"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"real_data", "shared"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.real_data)


def _must_have() -> bool:
    return bool(os.environ.get("CI")) or SHARED.is_dir()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of packed data, published setups, poison sets and a foreign checkpoint."""
    if SHARED.is_dir():
        return SHARED
    if _must_have():
        pytest.fail(f"CI needs the packed data at {SHARED}", pytrace=False)
    pytest.skip("no packed data here: set DOSIMETER_SHARED to its folder")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A data folder with CIFAR-10, CIFAR-100 and seven classes of Tiny ImageNet."""
    unpack = SHARED / "data" / "unpack.py"
    if all((CACHE / name).is_dir() for name in NEEDED):
        return CACHE
    if not unpack.is_file():
        if _must_have():
            pytest.fail(f"CI needs the real images, and {unpack} is not there", pytrace=False)
        pytest.skip(WITHOUT)
    command = [sys.executable, str(unpack), "--to", str(CACHE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    if done.returncode != 0:
        pytest.fail(f"unpacking the real images failed: {done.stderr[-500:]}", pytrace=False)
    return CACHE
