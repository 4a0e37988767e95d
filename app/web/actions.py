"""What the buttons on an experiment's page do; each goes back to the page."""

from fastapi import APIRouter, Response
from starlette.responses import RedirectResponse

from app import queue
from app.errors import Invalid
from app.services import experiments, extending
from app.web.doors import Caller, Clock, DatabaseOf, Sent, SettingsOf
from app.web.forms import last

router = APIRouter()


@router.post("/experiments/{experiment_id}/cancel")
def cancel(database: DatabaseOf, now: Clock, experiment_id: int) -> Response:
    with database.write() as session:
        experiments.cancel(session, experiment_id, now)
    return RedirectResponse(f"/experiments/{experiment_id}", status_code=303)


@router.post("/experiments/{experiment_id}/extend")
def extend(
    database: DatabaseOf,
    settings: SettingsOf,
    now: Clock,
    sent: Sent,
    caller: Caller,
    experiment_id: int,
) -> Response:
    """Give it more trials; sent twice, it is extended once."""
    typed, key = last(sent, "trials").strip(), last(sent, "idempotency_key") or None
    if not typed.isdecimal() or len(typed) > 6:
        raise Invalid.field("trials", "is no number of trials", "how many it shall have in all")
    with database.write() as session:
        extending.extend_once(session, settings, experiment_id, int(typed), now, caller, key)
    queue.notify(settings)
    return RedirectResponse(f"/experiments/{experiment_id}", status_code=303)


@router.post("/experiments/{experiment_id}/retry")
def retry(database: DatabaseOf, settings: SettingsOf, now: Clock, experiment_id: int) -> Response:
    with database.write() as session:
        experiments.retry(session, settings, experiment_id, now)
    queue.notify(settings)
    return RedirectResponse(f"/experiments/{experiment_id}", status_code=303)
