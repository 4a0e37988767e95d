"""Fixtures of the worker's tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.db import migrate
from app.settings import Settings
from tests.worker.bench import Bench


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("template")
    migrate(Settings(home=home, _env_file=None))
    return home / "dosimeter.db"


@pytest.fixture
def bench(tmp_path: Path, empty_database: Path) -> Iterator[Bench]:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    shutil.copy(empty_database, home / "dosimeter.db")
    bench = Bench(
        home, Settings(home=home, lease_s=2, heartbeat_s=0.2, poll_s=0.2, workers=1, _env_file=None)
    )
    yield bench
    bench.stop()
