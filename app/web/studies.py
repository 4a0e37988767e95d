"""Studies: those that can be launched, those that were, one of them with its experiments."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse

import poisoning.studies
from app import queue
from app.errors import Invalid, invalid
from app.queries import studies
from app.requests import StudyRequest
from app.schemas import StudyView
from app.services import exports, study_sizes
from app.services import studies as service
from app.services.exports import Origin
from app.web import forms, presets, results
from app.web.doors import Caller, Clock, DatabaseOf, Reading, Sent, SettingsOf
from app.web.downloads import download
from app.web.forms import last
from app.web.render import page
from app.web.words import plural

router = APIRouter()
OPEN = ("queued", "waiting", "running")


@router.get("/studies")
def index(request: Request, session: Reading, cursor: str = "") -> Response:
    return _index(request, session, cursor)


@router.post("/studies")
def launch(
    request: Request,
    database: DatabaseOf,
    settings: SettingsOf,
    sent: Sent,
    caller: Caller,
    now: Clock,
) -> Response:
    try:
        body = StudyRequest.model_validate(
            {"name": last(sent, "name"), "profile": last(sent, "profile")}
        )
        key = last(sent, "idempotency_key") or None
        with database.write() as session:
            made = service.launch_once(session, settings, body.name, body.profile, now, caller, key)
            study_id = made.id  # what was written is read anew once the session is closed
    except (ValidationError, Invalid) as problem:
        refused = invalid(problem) if isinstance(problem, ValidationError) else problem
        with database.read() as session:
            return _index(request, session, errors=forms.sentences(refused.errors))
    queue.notify(settings)
    return RedirectResponse(f"/studies/{study_id}", status_code=303)


@router.get("/studies/{study_id}")
def show(
    request: Request,
    session: Reading,
    now: Clock,
    study_id: int,
    table: Annotated[str, Query(max_length=80)] = "",
    format: Annotated[str, Query(max_length=20)] = "",
    width: Annotated[str, Query(max_length=20)] = "page",
) -> Response:
    item = studies.get(session, study_id)
    tables = results.of_study(session, item)
    if table or format:
        permalink = f"{str(request.base_url).rstrip('/')}/studies/{study_id}"
        origin = Origin(permalink, now, exports.commit())
        return download(tables, table, format, origin, width)
    return page(
        request,
        "studies/detail.html",
        item=item,
        tables=tables,
        faults=results.faults(session, item),
        answer=_progress(item),
        is_live=item.state in OPEN,
    )


def _index(
    request: Request, session: Session, cursor: str = "", errors: dict[str, str] | None = None
) -> Response:
    launched = studies.page(session, cursor or None)
    known = [_entry(name, study) for name, study in poisoning.studies.STUDIES.items()]
    return page(
        request,
        "studies/index.html",
        status_code=422 if errors else 200,
        answer=f"{plural(len(known), 'study', 'studies')} can be launched with one button.",
        known=known,
        launched=launched,
        errors=errors or {},
    )


def _entry(name: str, study: Any) -> dict[str, Any]:
    return {
        "name": name,
        "title": study.title,
        "description": getattr(study, "description", ""),
        "profiles": presets.profiles_of(study),
        "times": {p: study_sizes.of_study(name, p).time for p in presets.profiles_of(study)},
        "key": uuid.uuid4().hex,
    }


def _progress(item: StudyView) -> str:
    done = sum(experiment.state == "done" for experiment in item.experiments)
    total = len(item.experiments)
    if done == total:
        return f"All {plural(total, 'experiment')} of this study are done."
    trials = sum(experiment.trials_done for experiment in item.experiments)
    planned = sum(experiment.trials_total for experiment in item.experiments)
    return f"{done} of {plural(total, 'experiment')} done, {trials} of {planned} trials."
