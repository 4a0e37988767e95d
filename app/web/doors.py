"""What a page is given: a snapshot to read, a transaction to write, the settings, the clock."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from app.db import Database
from app.settings import Settings
from app.storage import Store
from app.web.forms import Values, values_of


def _reading(request: Request) -> Iterator[Session]:
    with request.app.state.database.read() as session:
        yield session


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


async def _sent(request: Request) -> Values:
    async with request.form(max_files=0, max_fields=2000) as body:
        return values_of(body)


def _caller(request: Request) -> str:
    """Whose repeated keys are the same: one token's, or this machine's."""
    return str(getattr(request.state, "caller", "local"))


def _now() -> datetime:
    return datetime.now(UTC)


Reading = Annotated[Session, Depends(_reading)]
SettingsOf = Annotated[Settings, Depends(_settings)]
StoreOf = Annotated[Store, Depends(_store)]
DatabaseOf = Annotated[Database, Depends(_database)]
Sent = Annotated[Values, Depends(_sent)]
Caller = Annotated[str, Depends(_caller)]
Clock = Annotated[datetime, Depends(_now)]
