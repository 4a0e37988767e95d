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


def encode(list_name: str, filters: dict[str, Any], *position: int | float | str) -> str:
    """A cursor for the place after a row: its id, or what the list is sorted by and its id."""
    text = json.dumps([list_name, digest(filters)[:12], *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(list_name: str, filters: dict[str, Any], cursor: str | None) -> int | None:
    """The id a cursor stands for; Invalid where it is not one of this list."""
    match _parts(list_name, filters, cursor):
        case []:
            return None
        case [int(position)] if 0 <= position < 2**62:
            return position
    raise _not_of_this_list()


def decode_sorted(
    list_name: str, filters: dict[str, Any], cursor: str | None, kind: type
) -> tuple[Any, int] | None:
    """The sort value, of type ``kind``, and the id a cursor stands for; Invalid as ``decode``."""
    match _parts(list_name, filters, cursor):
        case []:
            return None
        case [value, int(position)] if type(value) is kind and 0 <= position < 2**62:
            return value, position
    raise _not_of_this_list()


def _parts(list_name: str, filters: dict[str, Any], cursor: str | None) -> list[Any]:
    if cursor is None:
        return []
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        found = None
    match found:
        case [str(name), str(mark), _, *_] if name == list_name and mark == digest(filters)[:12]:
            return list(found[2:])
    raise _not_of_this_list()


def _not_of_this_list() -> Invalid:
    return Invalid.field(
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
