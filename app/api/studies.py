"""Studies over REST: what can be run by name, and what was."""

from typing import Annotated

from fastapi import APIRouter, Body, Response

from app import queue
from app.api import examples
from app.api.doors import Caller, Clock, Cursor, DatabaseOf, Id, Key, Limit, SettingsOf
from app.paging import DEFAULT_LIMIT
from app.queries import studies as queries
from app.requests import StudyRequest
from app.schemas import CatalogueEntry, Launched, Page, StudyView
from app.services import studies, study_sizes
from poisoning.studies import STUDIES

router = APIRouter(tags=["studies"])
EXAMPLE = {"name": "demonstration", "profile": "quick"}


@router.get("/catalogue/studies", tags=["catalogue"], responses=examples.ok([examples.ENTRY]))
def catalogue() -> list[CatalogueEntry]:
    """Studies that can be launched by name."""
    return [
        CatalogueEntry(
            name=name,
            title=study.title,
            about={
                "description": study.description,
                "profiles": list(study.profiles),
                "on_two_cores": {
                    profile: study_sizes.of_study(name, profile).time for profile in study.profiles
                },
            },
        )
        for name, study in STUDIES.items()
    ]


@router.post("/studies", status_code=202, responses=examples.ok(examples.STUDY_LAUNCHED, 202))
def launch(
    body: Annotated[StudyRequest, Body(examples=[EXAMPLE])],
    database: DatabaseOf,
    settings: SettingsOf,
    now: Clock,
    caller: Caller,
    response: Response,
    key: Key = None,
) -> Launched:
    """Launch all experiments of a study, or none of them."""
    with database.write() as session:
        row = studies.launch_once(session, settings, body.name, body.profile, now, caller, key)
        launched = Launched(
            id=row.id, url=f"/api/v1/studies/{row.id}", title=row.title, created_at=row.created_at
        )
    queue.notify(settings)
    response.headers["Location"] = launched.url
    return launched


@router.get("/studies", responses=examples.ok(examples.page(examples.STUDY)))
def index(
    database: DatabaseOf, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[StudyView]:
    """Launched studies, the newest first."""
    with database.read() as session:
        return queries.page(session, cursor, limit)


@router.get("/studies/{study_id}", responses=examples.ok(examples.STUDY))
def read(study_id: Id, database: DatabaseOf) -> StudyView:
    """One launched study with its experiments."""
    with database.read() as session:
        return queries.get(session, study_id)
