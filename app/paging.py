"""Keyset pages: a cursor says after which row the next page begins, and of which list.

A cursor is opaque to clients. It names its list and a digest of the list's filters, so one that
belongs elsewhere is refused instead of silently giving another page.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from app.errors import Invalid
from app.schemas import Page
from poisoning.spec import digest

MAX_LIMIT = 200
DEFAULT_LIMIT = 50
R = TypeVar("R")
V = TypeVar("V")


def encode(list_name: str, filters: dict[str, Any], position: int) -> str:
    text = json.dumps([list_name, digest(filters)[:12], position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(list_name: str, filters: dict[str, Any], cursor: str | None) -> int | None:
    """The position a cursor stands for; Invalid where it is not one of this list."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        found = None
    match found:
        case [str(name), str(mark), int(position)] if (
            name == list_name and mark == digest(filters)[:12] and 0 <= position < 2**62
        ):
            return position
    raise Invalid.field(
        "cursor",
        "is not a cursor of this list",
        "take the value of 'next' as it came, with the same filters; or leave it out",
    )


def cut(
    rows: Sequence[R],
    limit: int,
    cursor_of: Callable[[R], str],
    view: Callable[[Sequence[R]], list[V]],
) -> Page[V]:
    """A page of ``limit`` rows out of ``limit + 1`` that were asked for."""
    shown = rows[:limit]
    following = cursor_of(shown[-1]) if len(rows) > limit else None
    return Page(items=view(shown), next=following)
