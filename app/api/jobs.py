"""Jobs and workers over REST."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from app.api import examples
from app.api.doors import Clock, Cursor, DatabaseOf, Id, Limit, SettingsOf
from app.paging import DEFAULT_LIMIT
from app.queries import jobs, workers
from app.schemas import JobView, LogEntry, Page, QueueView, WorkerView

router = APIRouter(tags=["jobs"])
State = Literal["queued", "running", "done", "failed", "cancelled", "skipped"]


@router.get("/jobs", responses=examples.ok(examples.page(examples.JOB)))
def index(
    database: DatabaseOf,
    state: State | None = None,
    kind: Literal["trials", "pretrain", "adopt"] | None = None,
    experiment: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[JobView]:
    """Batches of trials, pretrainings and weights brought in, the newest first."""
    filters = jobs.Filters(state=state, kind=kind, experiment=experiment)
    with database.read() as session:
        return jobs.page(session, filters, cursor, limit)


@router.get("/jobs/{job_id}", responses=examples.ok(examples.JOB))
def read(job_id: Id, database: DatabaseOf) -> JobView:
    """One job: how far it is, who runs it, on what, and why it failed if it did."""
    with database.read() as session:
        return jobs.get(session, job_id)


@router.get("/jobs/{job_id}/log", responses=examples.ok([examples.LOG]))
def log(
    job_id: Id,
    database: DatabaseOf,
    after: Annotated[int, Query(ge=0, lt=2**62, description="Only lines after this id.")] = 0,
    limit: Limit = 200,
) -> list[LogEntry]:
    """The newest lines a job said, oldest first."""
    with database.read() as session:
        jobs.get(session, job_id)
        return jobs.log_tail(session, job_id, after, limit)


@router.get("/workers", responses=examples.ok([examples.WORKER]))
def everyone(database: DatabaseOf, settings: SettingsOf, now: Clock) -> list[WorkerView]:
    """Workers of the last day, the latest heard from first."""
    with database.read() as session:
        return workers.everyone(session, now, settings.lease_s)


@router.get("/queue", responses=examples.ok(examples.QUEUE))
def queued(database: DatabaseOf, now: Clock) -> QueueView:
    """How much work waits."""
    with database.read() as session:
        return workers.queue(session, now)
