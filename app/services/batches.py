"""Batches that turned out too large: halved, so that what did not fit into memory may yet."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Job, Trial
from app.services import states


def halve(session: Session, job: Job, now: datetime) -> bool:
    """Move half of a job's unfinished trials to a new job; False where one or none is left."""
    waiting = session.scalars(
        select(Trial.id)
        .where(Trial.job_id == job.id, Trial.state == "running")
        .order_by(Trial.number)
    ).all()
    if len(waiting) < 2:
        return False
    other = Job(
        kind=job.kind, priority=job.priority, experiment_id=job.experiment_id, created_at=now
    )
    session.add(other)
    session.flush()
    states.move(
        session, Trial, "queued", Trial.id.in_(waiting[len(waiting) // 2 :]), job_id=other.id
    )
    return True
