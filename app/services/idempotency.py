"""The same key with the same body gets the same answer, however often and however parallel."""

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Invalid
from app.models import IdempotencyKey
from app.services.results import insert_if_new
from poisoning.spec import digest

HEADER = "Idempotency-Key"
MAX_LENGTH = 120


def reserve(session: Session, caller: str, key: str, body: Any, now: datetime) -> IdempotencyKey:
    """The row of a key: new (no ids yet) or that of the first request. Locks it.

    Invalid where the key came with another body.
    """
    if not 1 <= len(key) <= MAX_LENGTH or not key.isprintable():
        raise Invalid.field(
            HEADER, "is not a key", f"send 1 to {MAX_LENGTH} printable characters, e.g. a UUID"
        )
    body_hash = digest(body)
    values = {"key": key, "caller": caller, "body_hash": body_hash, "created_at": now}
    insert_if_new(session, IdempotencyKey.__table__, values)
    row = session.scalars(
        select(IdempotencyKey)
        .where(IdempotencyKey.key == key, IdempotencyKey.caller == caller)
        .with_for_update()
    ).one()
    if row.body_hash != body_hash:
        raise Invalid.field(
            HEADER, "was used for another request", "send a new key with a new request"
        )
    return row
