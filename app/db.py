"""Connections and transactions. SQLite by default, PostgreSQL by URL; the same code on both.

SQLite runs in WAL mode with two engines: writers begin IMMEDIATE, so that a read-then-write
transaction never fails half-way for a lock it cannot upgrade; readers never wait for them.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.orm import Session

from app.settings import Settings

BUSY_TIMEOUT_MS = 10_000
MIGRATION_LOCK = 0x_D051  # PostgreSQL advisory lock, any number nobody else uses
MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


class WrongSchema(RuntimeError):
    """The database is not at the version this code was written for."""


class Database:
    """Two doors to one database: ``read()`` for snapshots, ``write()`` for transactions."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        self.write_engine = _engine(url, "BEGIN IMMEDIATE")
        self.read_engine = _engine(url, "BEGIN") if self.is_sqlite else self.write_engine

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one snapshot and is rolled back at its end."""
        with Session(self.read_engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits at its end, or rolls everything back on an error."""
        with Session(self.write_engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        self.write_engine.dispose()
        self.read_engine.dispose()


def open_database(settings: Settings) -> Database:
    return Database(settings.sql_url)


@contextmanager
def session(settings: Settings) -> Iterator[Session]:
    """One write transaction for a command line; refuses a wrong schema version."""
    database = open_database(settings)
    try:
        check_version(database)
        with database.write() as writing:
            yield writing
    finally:
        database.close()


def _engine(url: str, begin: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(
            url,
            pool_pre_ping=True,
            pool_size=10,
            max_overflow=30,
            connect_args={"options": "-c statement_timeout=30000 -c lock_timeout=10000"},
        )
    engine = create_engine(url, pool_size=10, max_overflow=30, pool_timeout=10)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


# --- the schema's version ---------------------------------------------------------------------


def alembic_config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def migrate(settings: Settings) -> str:
    """Bring the database to this code's version, one process at a time; the version reached."""
    database = open_database(settings)
    try:
        with _migration_lock(settings, database), database.write_engine.begin() as connection:
            command.upgrade(alembic_config(connection), "head")
        return expected_version()
    finally:
        database.close()


@contextmanager
def _migration_lock(settings: Settings, database: Database) -> Iterator[None]:
    if database.is_sqlite:
        with open(settings.root / "migrate.lock", "w", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with database.write_engine.connect() as connection:
        connection.execute(text("SET statement_timeout = 0; SET lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})


def expected_version() -> str:
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if head is None:
        raise WrongSchema(f"no migrations found in {MIGRATIONS}")
    return head


def current_version(database: Database) -> str | None:
    with database.read_engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def check_version(database: Database) -> None:
    """Refuse a database that is older or newer than this code."""
    found, expected = current_version(database), expected_version()
    if found != expected:
        raise WrongSchema(
            f"the database is at version {found or 'none'}, this program needs {expected}; "
            "run `dosimeter migrate` (or install the release that wrote it)"
        )
