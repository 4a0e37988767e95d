"""Real images for the tests that want them, unpacked once into a cache outside the repository.

A machine with the packed files (the folder ``shared`` beside the repository, or
DOSIMETER_SHARED), and every CI, must run those tests; elsewhere one line says why they did not.
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

REPOSITORY = Path(__file__).parent.parent
SHARED = Path(os.environ.get("DOSIMETER_SHARED", REPOSITORY.parent / "shared"))
CACHE = Path(os.environ.get("DOSIMETER_DATA_DIR", "~/.cache/dosimeter/data")).expanduser()
NEEDED = ("cifar-10-batches-py", "cifar-100-python", "tiny-imagenet-200")
WITHOUT = "real images are not here (DOSIMETER_DATA_DIR, DOSIMETER_SHARED)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"real_data", "shared"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.real_data)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if WITHOUT in str(r.longrepr)]
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} tests did not run: {WITHOUT}")


def _without(missing: str) -> NoReturn:
    """Fail where the images must be, skip where a user simply has none."""
    if os.environ.get("CI") or SHARED.is_dir():
        pytest.fail(f"the real images must be here, and are not: {missing}", pytrace=False)
    pytest.skip(WITHOUT)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of packed data, published setups, poison sets and a foreign checkpoint."""
    if not SHARED.is_dir():
        _without(str(SHARED))
    return SHARED


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A data folder with CIFAR-10, CIFAR-100 and seven classes of Tiny ImageNet."""
    unpack, stamp = SHARED / "data" / "unpack.py", CACHE / ".unpacked"
    is_there = all((CACHE / name).is_dir() for name in NEEDED)
    if is_there and (stamp.is_file() or not unpack.is_file()):
        return CACHE
    if not unpack.is_file():
        _without(f"neither {CACHE} nor {unpack}")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several test processes, one unpacks
        if not stamp.is_file():
            _unpack(unpack)
            stamp.touch()
    return CACHE


def _unpack(script: Path) -> None:
    command = [sys.executable, str(script), "--to", str(CACHE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    if done.returncode != 0:
        pytest.fail(f"unpacking the real images failed: {done.stderr[-500:]}", pytrace=False)
