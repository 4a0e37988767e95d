"""What is done with experiments that were ticked in the list, and with one's tags and notes."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Response
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse

from app import queue
from app.errors import Conflict, Invalid, NotFound
from app.services import experiments, notes, views
from app.settings import Settings
from app.web import forms
from app.web.doors import Clock, DatabaseOf, Sent, SettingsOf
from app.web.forms import Values

router = APIRouter()
MAX_TICKED = 1000
Action = Callable[[Session, Settings, int, datetime, Values], Any]
ACTIONS: dict[str, Action] = {
    "cancel": lambda session, _s, number, now, _v: experiments.cancel(session, number, now),
    "retry": lambda session, settings, number, now, _v: experiments.retry(
        session, settings, number, now
    ),
    "archive": lambda session, _s, number, now, _v: notes.archive(session, number, now),
    "restore": lambda session, _s, number, _now, _v: notes.archive(session, number, None),
    "tag": lambda session, _s, number, _now, values: notes.add_tags(
        session, number, notes.words(forms.last(values, "tags"))
    ),
}


@router.post("/experiments/bulk")
def act(database: DatabaseOf, settings: SettingsOf, now: Clock, sent: Sent) -> Response:
    """Carry out one action on all that were ticked; those it does not apply to are counted."""
    action, ticked = forms.last(sent, "do"), sent.get("ids", [])
    back = forms.last(sent, "back")
    numbers = _numbers(ticked)
    if action == "compare":
        return RedirectResponse(f"/compare?ids={','.join(ticked)}", status_code=303)
    if action not in ACTIONS:
        raise Invalid.field("do", "names no action", f"one of: {', '.join(ACTIONS)}, compare")
    done = 0
    with database.write() as session:
        for number in numbers:
            done += _try(session, ACTIONS[action], settings, number, now, sent)
    if action == "retry":
        queue.notify(settings)
    said = {"did": action, "n": done, "refused": len(numbers) - done}
    return RedirectResponse(_back(back, said), status_code=303)


@router.post("/experiments/{experiment_id}/notes")
def annotate(database: DatabaseOf, sent: Sent, experiment_id: int) -> Response:
    """Replace one experiment's tags and notes."""
    tags = notes.words(forms.last(sent, "tags"))
    with database.write() as session:
        notes.annotate(session, experiment_id, tags, forms.last(sent, "notes"))
    return RedirectResponse(f"/experiments/{experiment_id}", status_code=303)


@router.post("/experiments/{experiment_id}/archive")
def archive(database: DatabaseOf, now: Clock, experiment_id: int) -> Response:
    with database.write() as session:
        notes.archive(session, experiment_id, now)
    return RedirectResponse(f"/experiments/{experiment_id}", status_code=303)


@router.post("/experiments/{experiment_id}/restore")
def restore(database: DatabaseOf, experiment_id: int) -> Response:
    with database.write() as session:
        notes.archive(session, experiment_id, None)
    return RedirectResponse(f"/experiments/{experiment_id}", status_code=303)


@router.post("/views")
def save_view(database: DatabaseOf, now: Clock, sent: Sent) -> Response:
    """Keep the page's state under a name, and go back to it."""
    page, name, query = (forms.last(sent, key) for key in ("page", "name", "query"))
    with database.write() as session:
        row = views.save(session, page, name, query, now)
        address = f"{views.PAGES[row.page]}?{row.query}"
    return RedirectResponse(address, status_code=303)


@router.post("/views/{view_id}/remove")
def remove_view(database: DatabaseOf, view_id: int) -> Response:
    with database.write() as session:
        address = views.remove(session, view_id)
    return RedirectResponse(address, status_code=303)


def _try(
    session: Session, action: Action, settings: Settings, number: int, now: datetime, sent: Values
) -> bool:
    """One experiment's turn; what is refused leaves nothing behind and does not stop the rest."""
    try:
        with session.begin_nested():
            action(session, settings, number, now, sent)
    except (Conflict, NotFound):
        return False
    except Invalid as error:
        if any(problem.field.startswith("tags.") for problem in error.errors):
            raise  # the tag itself cannot be
        return False
    return True


def _numbers(ticked: Sequence[str]) -> list[int]:
    """Ids of the ticked rows; a row of several seeds has its ids with dots between."""
    parts = [part for value in ticked for part in value.split(".")]
    if not parts:
        raise Invalid.field("ids", "nothing is ticked", "tick the experiments it is for")
    if len(parts) > MAX_TICKED:
        raise Invalid.field("ids", f"more than {MAX_TICKED} experiments", "tick fewer")
    if not all(part.isdecimal() and len(part) < 10 for part in parts):
        raise Invalid.field("ids", "are not ids of experiments", "tick them in the list")
    return list(dict.fromkeys(int(part) for part in parts))


def _back(query: str, said: dict[str, Any]) -> str:
    """The list as it was, and what was done."""
    kept = [(name, value) for name, value in parse_qsl(query) if name not in said]
    return f"/experiments?{urlencode([*kept, *said.items()])}"
