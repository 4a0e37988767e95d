"""Jobs: what is queued, what runs, how it ended."""

from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import paging
from app.errors import NotFound
from app.models import Job, LogLine
from app.schemas import JobView, LogEntry, Page

LIST = "jobs"


class Filters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    state: str | None = None
    kind: str | None = None
    experiment: int | None = None


def view(job: Job) -> JobView:
    return JobView(
        id=job.id,
        kind=job.kind,
        state=job.state,
        attempt=job.attempt,
        owner=job.owner,
        cancel_requested=job.cancel_requested and job.state == "running",
        progress=job.progress,
        provenance=job.provenance,
        error=job.error,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )


def page(
    session: Session,
    filters: Filters | None = None,
    cursor: str | None = None,
    limit: int = paging.DEFAULT_LIMIT,
) -> Page[JobView]:
    """Newest first."""
    wanted = filters or Filters()
    marks = wanted.model_dump()
    before = paging.decode(LIST, marks, cursor)
    statement = select(Job).order_by(Job.id.desc()).limit(limit + 1)
    if before is not None:
        statement = statement.where(Job.id < before)
    if wanted.state is not None:
        statement = statement.where(Job.state == wanted.state)
    if wanted.kind is not None:
        statement = statement.where(Job.kind == wanted.kind)
    if wanted.experiment is not None:
        statement = statement.where(Job.experiment_id == wanted.experiment)
    rows = session.scalars(statement).all()
    return paging.cut(
        rows,
        limit,
        lambda row: paging.encode(LIST, marks, row.id),
        lambda shown: [view(row) for row in shown],
    )


def get(session: Session, job_id: int) -> JobView:
    job = session.get(Job, job_id) if 0 < job_id < 2**31 else None
    if job is None:
        raise NotFound(f"there is no job {job_id}")
    return view(job)


def log_tail(session: Session, job_id: int, after: int = 0, limit: int = 200) -> list[LogEntry]:
    """The newest lines of one job, oldest first."""
    statement = (
        select(LogLine)
        .where(LogLine.job_id == job_id, LogLine.id > after)
        .order_by(LogLine.id.desc())
        .limit(limit)
    )
    return [
        LogEntry(id=line.id, at=line.at, level=line.level, message=line.message)
        for line in reversed(session.scalars(statement).all())
    ]
