"""What a page is given: those of the API, a snapshot to read, and what a form sent."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import IO, Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile

from app.api.doors import Caller, Clock, DatabaseOf, SettingsOf, StoreOf
from app.web.forms import Values, values_of

MAX_FIELDS = 2000


def _reading(database: DatabaseOf) -> Iterator[Session]:
    with database.read() as session:
        yield session


async def _sent(request: Request) -> Values:
    async with request.form(max_files=0, max_fields=MAX_FIELDS) as body:
        return values_of(body)


@dataclass(frozen=True)
class Files:
    """A checkpoint that a form brought along: its name here, its file, its card's content."""

    name: str
    file: IO[bytes] | None
    card: bytes | None


async def _brought(request: Request) -> AsyncIterator[Files]:
    async with request.form(max_files=2, max_fields=MAX_FIELDS) as body:
        sent = {key: body.get(key) for key in ("name", "file", "card")}
        name, file, card = sent["name"], sent["file"], sent["card"]
        yield Files(
            name=name if isinstance(name, str) else "",
            file=file.file if isinstance(file, UploadFile) and file.filename else None,
            card=await card.read() if isinstance(card, UploadFile) and card.filename else None,
        )


Reading = Annotated[Session, Depends(_reading)]
Sent = Annotated[Values, Depends(_sent)]
Brought = Annotated[Files, Depends(_brought)]

__all__ = ["Brought", "Caller", "Clock", "DatabaseOf", "Reading", "Sent", "SettingsOf", "StoreOf"]
