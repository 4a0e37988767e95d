"""Experiments over REST: launch, list, read, cancel, retry, clone, log, estimate."""

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Query, Response

from app import queue
from app.api import examples
from app.api.doors import (
    Caller,
    Clock,
    Cursor,
    DatabaseOf,
    Id,
    Key,
    Limit,
    SettingsOf,
)
from app.errors import Invalid
from app.models import Experiment
from app.paging import DEFAULT_LIMIT
from app.queries import experiments as queries
from app.requests import ExtendRequest, LaunchRequest
from app.schemas import Estimate, ExperimentDetail, ExperimentSummary, Launched, LogEntry, Page
from app.services import estimate as costs
from app.services import experiments, extending
from poisoning.spec import Profile

router = APIRouter(tags=["experiments"])
State = Literal["queued", "waiting", "running", "done", "failed", "cancelled"]
Name = Annotated[str | None, Query(max_length=80)]
Launch = Annotated[LaunchRequest, Body(examples=examples.LAUNCHES)]
Extend = Annotated[ExtendRequest, Body(examples=[{"trials": 100}])]


@router.post("/experiments", status_code=202, responses=examples.ok(examples.LAUNCHED, 202))
def launch(
    body: Launch,
    database: DatabaseOf,
    settings: SettingsOf,
    now: Clock,
    caller: Caller,
    response: Response,
    key: Key = None,
) -> Launched:
    """Launch an experiment. It runs as soon as a worker is free and its checkpoints are there."""
    try:
        with database.write() as session:
            row = experiments.launch_once(session, settings, body, now, caller, key)
            launched = launched_of(row)
    except Invalid as error:
        raise _in_spec(error) from None
    queue.notify(settings)
    response.headers["Location"] = launched.url
    return launched


@router.post("/estimates", responses=examples.ok(examples.ESTIMATE))
def estimate(body: Launch, database: DatabaseOf, settings: SettingsOf) -> Estimate:
    """What a launch would cost, and the same errors; nothing is launched."""
    try:
        experiments.check_data(settings, body.spec)
        with database.read() as session:
            return costs.estimate(session, settings, body.spec)
    except Invalid as error:
        raise _in_spec(error) from None


@router.get("/experiments", responses=examples.ok(examples.page(examples.SUMMARY)))
def index(
    database: DatabaseOf,
    state: State | None = None,
    attack: Name = None,
    dataset: Name = None,
    profile: Profile | None = None,
    study: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
    text: Annotated[str | None, Query(max_length=200)] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[ExperimentSummary]:
    """Experiments, the newest first."""
    filters = queries.Filters(
        state=state, attack=attack, dataset=dataset, profile=profile, study=study, text=text
    )
    with database.read() as session:
        return queries.page(session, filters, cursor, limit)


@router.get("/experiments/{experiment_id}", responses=examples.ok(examples.DETAIL))
def read(experiment_id: Id, database: DatabaseOf, now: Clock) -> ExperimentDetail:
    """One experiment: its spec, how far it is, and what came out, first of all in words."""
    with database.read() as session:
        return queries.get(session, experiment_id, now)


@router.post("/experiments/{experiment_id}/cancel", responses=examples.ok(examples.SUMMARY))
def cancel(experiment_id: Id, database: DatabaseOf, now: Clock) -> ExperimentSummary:
    """Stop it: what is queued at once, what runs within seconds. Finished trials stay."""
    with database.write() as session:
        row = experiments.cancel(session, experiment_id, now)
        return queries.summaries(session, [row])[0]


@router.post(
    "/experiments/{experiment_id}/retry",
    status_code=202,
    responses=examples.ok(examples.SUMMARY, 202),
)
def retry(
    experiment_id: Id, database: DatabaseOf, settings: SettingsOf, now: Clock
) -> ExperimentSummary:
    """Queue what a failed or cancelled experiment has not done; finished trials stay."""
    with database.write() as session:
        row = experiments.retry(session, settings, experiment_id, now)
        summary = queries.summaries(session, [row])[0]
    queue.notify(settings)
    return summary


@router.post(
    "/experiments/{experiment_id}/clone",
    status_code=202,
    responses=examples.ok(examples.LAUNCHED, 202),
)
def clone(
    experiment_id: Id,
    database: DatabaseOf,
    settings: SettingsOf,
    now: Clock,
    caller: Caller,
    response: Response,
    key: Key = None,
) -> Launched:
    """Launch the same spec again, as an experiment of its own."""
    with database.write() as session:
        row = experiments.clone_once(session, settings, experiment_id, now, caller, key)
        launched = launched_of(row)
    queue.notify(settings)
    response.headers["Location"] = launched.url
    return launched


@router.post(
    "/experiments/{experiment_id}/extend",
    status_code=202,
    responses=examples.ok(examples.SUMMARY, 202),
)
def extend(
    experiment_id: Id,
    body: Extend,
    database: DatabaseOf,
    settings: SettingsOf,
    now: Clock,
    caller: Caller,
    key: Key = None,
) -> ExperimentSummary:
    """Raise its trials to so many in all; those that are done stay. One that stopped early takes
    up what it skipped. Its intervals are confidence sequences from then on.
    """
    with database.write() as session:
        row = extending.extend_once(session, settings, experiment_id, body.trials, now, caller, key)
        summary = queries.summaries(session, [row])[0]
    queue.notify(settings)
    return summary


@router.get("/experiments/{experiment_id}/log", responses=examples.ok([examples.LOG]))
def log(
    experiment_id: Id,
    database: DatabaseOf,
    after: Annotated[int, Query(ge=0, lt=2**62, description="Only lines after this id.")] = 0,
    limit: Limit = 200,
) -> list[LogEntry]:
    """The newest lines its jobs said, oldest first."""
    with database.read() as session:
        queries.find(session, experiment_id)
        return queries.log_tail(session, experiment_id, after, limit)


def launched_of(row: Experiment) -> Launched:
    return Launched(
        id=row.id,
        url=f"/api/v1/experiments/{row.id}",
        title=row.title,
        created_at=row.created_at,
    )


def _in_spec(error: Invalid) -> Invalid:
    """The services speak of the spec's fields; the body has them under ``spec``."""
    is_header = any(problem.field == "Idempotency-Key" for problem in error.errors)
    return error if is_header else error.within("spec")
