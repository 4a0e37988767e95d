"""The migrations make exactly the tables the models describe; another version is refused."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

import app.models  # noqa: F401  (every table is in Base.metadata by it)
from app import db
from app.columns import Base
from app.db import Database
from app.settings import Settings


def test_autogenerate_finds_no_difference(database: Database) -> None:
    with database.read_engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_migrations_may_start_at_once(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path / "home")
    with ThreadPoolExecutor(4) as pool:
        reached = list(pool.map(lambda _: db.migrate(settings), range(4)))
    assert set(reached) == {db.expected_version()}


def test_the_home_folder_is_private(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path / "home")
    assert stat.S_IMODE(settings.root.stat().st_mode) == 0o700


@pytest.mark.parametrize("version", [None, "9999"])
def test_a_server_refuses_another_version(database: Database, version: str | None) -> None:
    with database.write() as session:
        session.execute(text("DELETE FROM alembic_version"))
        if version:
            session.execute(text("INSERT INTO alembic_version VALUES (:v)"), {"v": version})
    with pytest.raises(db.WrongSchema, match="dosimeter migrate"):
        db.check_version(database)


def test_sqlite_is_set_up_to_lose_nothing(database: Database) -> None:
    with database.read_engine.connect() as connection:
        values = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        ]
    assert values == ["wal", 2, 10_000, 1]


def test_readers_see_one_snapshot_while_somebody_writes(database: Database) -> None:
    with database.read() as reading:
        count = text("SELECT count(*) FROM studies")
        assert reading.scalar(count) == 0
        with database.write() as writing:
            writing.execute(
                text(
                    "INSERT INTO studies (name, title, profile, created_at) VALUES ('a','a','a',0)"
                )
            )
        assert reading.scalar(count) == 0
    with database.read() as reading:
        assert reading.scalar(count) == 1
