"""Trials and their outcomes over REST."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path

from app.api import examples
from app.api.doors import Cursor, DatabaseOf, Id, Limit
from app.paging import DEFAULT_LIMIT
from app.queries import trials
from app.schemas import OutcomeView, Page, TrialView

router = APIRouter(tags=["trials"])
State = Literal["queued", "running", "done", "failed", "cancelled", "skipped"]
Number = Annotated[int, Path(ge=0, lt=2**31, description="0 is the first trial.")]


@router.get(
    "/experiments/{experiment_id}/trials", responses=examples.ok(examples.page(examples.TRIAL))
)
def index(
    experiment_id: Id,
    database: DatabaseOf,
    state: State | None = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[TrialView]:
    """The trials of an experiment with their outcomes, by number."""
    with database.read() as session:
        return trials.page(session, experiment_id, cursor, limit, state)


@router.get("/experiments/{experiment_id}/trials/{number}", responses=examples.ok(examples.TRIAL))
def read(experiment_id: Id, number: Number, database: DatabaseOf) -> TrialView:
    """One trial: target, base images, poison set, and the verdict of every victim."""
    with database.read() as session:
        return trials.get(session, experiment_id, number)


@router.get(
    "/experiments/{experiment_id}/trials/{number}/outcomes",
    responses=examples.ok([examples.OUTCOME]),
)
def outcomes(experiment_id: Id, number: Number, database: DatabaseOf) -> list[OutcomeView]:
    """The outcomes of one trial, a victim each, beside its clean twin."""
    with database.read() as session:
        return trials.get(session, experiment_id, number).outcomes
