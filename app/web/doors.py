"""What a page is given: those of the API, a snapshot to read, and what a form sent."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from app.api.brought import Brought
from app.api.doors import Caller, Clock, DatabaseOf, SettingsOf, StoreOf
from app.web.forms import Values, values_of

MAX_FIELDS = 2000


def _reading(database: DatabaseOf) -> Iterator[Session]:
    with database.read() as session:
        yield session


async def _sent(request: Request) -> Values:
    async with request.form(max_files=0, max_fields=MAX_FIELDS) as body:
        return values_of(body)


Reading = Annotated[Session, Depends(_reading)]
Sent = Annotated[Values, Depends(_sent)]

__all__ = ["Brought", "Caller", "Clock", "DatabaseOf", "Reading", "Sent", "SettingsOf", "StoreOf"]
