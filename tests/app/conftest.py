"""A migrated database per test, made once and copied; an application and a client on it."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app import db
from app.db import Database
from app.main import create_app
from app.settings import Settings

LOCAL = "http://127.0.0.1:8000"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the person who runs the tests must not reach them."""
    for name in [name for name in os.environ if name.startswith("DOSIMETER_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database at the present version, to be copied."""
    home = tmp_path_factory.mktemp("migrated")
    settings = Settings(_env_file=None, home=home, database_url=f"sqlite:///{home}/dosimeter.db")
    db.migrate(settings)
    copied = home / "copy.db"
    with sqlite3.connect(home / "dosimeter.db") as connection:
        connection.execute(f"VACUUM INTO '{copied}'")
    connection.close()
    return copied


@pytest.fixture
def settings(tmp_path: Path, migrated: Path) -> Settings:
    """Settings of an installation that exists, with nothing in it."""
    chosen = Settings(_env_file=None, home=tmp_path / "home", memory_mib=8192, threads=2, workers=1)
    shutil.copyfile(migrated, chosen.root / "dosimeter.db")
    return chosen


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    opened = db.open_database(settings)
    yield opened
    opened.close()


@pytest.fixture
def application(settings: Settings, database: Database) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def client(application: FastAPI) -> Iterator[TestClient]:
    """A script on the same machine."""
    with TestClient(application, base_url=LOCAL, raise_server_exceptions=False) as opened:
        yield opened
