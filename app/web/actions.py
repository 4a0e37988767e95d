"""What the buttons on an experiment's page do; each goes back to the page."""

from fastapi import APIRouter, Response
from starlette.responses import RedirectResponse

from app import queue
from app.services import experiments
from app.web.doors import Clock, DatabaseOf, SettingsOf

router = APIRouter()


@router.post("/experiments/{experiment_id}/cancel")
def cancel(database: DatabaseOf, now: Clock, experiment_id: int) -> Response:
    with database.write() as session:
        experiments.cancel(session, experiment_id, now)
    return RedirectResponse(f"/experiments/{experiment_id}", status_code=303)


@router.post("/experiments/{experiment_id}/retry")
def retry(database: DatabaseOf, settings: SettingsOf, now: Clock, experiment_id: int) -> Response:
    with database.write() as session:
        experiments.retry(session, settings, experiment_id, now)
    queue.notify(settings)
    return RedirectResponse(f"/experiments/{experiment_id}", status_code=303)
