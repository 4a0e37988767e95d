"""What an API operation is given: the database, the settings, the store, the clock, the page."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request, params
from fastapi.dependencies.utils import get_flat_params

from app import paging
from app.db import Database
from app.errors import FieldProblem, Invalid
from app.services import idempotency
from app.settings import Settings
from app.storage import Store


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


def _now() -> datetime:
    return datetime.now(UTC)


def _caller(request: Request) -> str:
    return str(request.state.caller)


def refuse_unknown_query(request: Request) -> None:
    """A parameter nobody reads is a mistake somebody should hear of."""
    fields = get_flat_params(request.scope["route"].dependant)
    known = {f.alias for f in fields if isinstance(f.field_info, params.Query)}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        raise Invalid(
            [
                FieldProblem(
                    field=name,
                    message="there is no such parameter",
                    remedy=f"known: {', '.join(sorted(known))}" if known else "leave it out",
                )
                for name in unknown
            ]
        )


DatabaseOf = Annotated[Database, Depends(_database)]
SettingsOf = Annotated[Settings, Depends(_settings)]
StoreOf = Annotated[Store, Depends(_store)]
Clock = Annotated[datetime, Depends(_now)]
Caller = Annotated[str, Depends(_caller)]
Key = Annotated[
    str | None,
    Header(
        alias=idempotency.HEADER,
        description="Repeat a request with the same key and it is carried out once.",
        min_length=1,
        max_length=idempotency.MAX_LENGTH,
    ),
]
Cursor = Annotated[
    str | None, Query(max_length=400, description="'next' of the page before, as it came.")
]
Limit = Annotated[
    int, Query(ge=1, le=paging.MAX_LIMIT, description="How many rows a page has at most.")
]
Id = Annotated[int, Path(ge=1, lt=2**31)]
