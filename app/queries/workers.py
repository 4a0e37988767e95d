"""Workers that have been seen, and how much work waits for them."""

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import Checkpoint, Job, Worker
from app.schemas import QueueView, WorkerView

FORGOTTEN_AFTER = timedelta(days=1)


def everyone(session: Session, now: datetime, silent_after_s: float) -> list[WorkerView]:
    """The workers of the last day, the latest heard from first."""
    rows = session.execute(
        select(Worker, Job.experiment_id, Checkpoint.name)
        .outerjoin(Job, Job.id == Worker.job_id)
        .outerjoin(Checkpoint, Checkpoint.id == Job.checkpoint_id)
        .where(Worker.seen_at > now - FORGOTTEN_AFTER)
        .order_by(Worker.seen_at.desc(), Worker.id)
    )
    return [
        WorkerView(
            id=row.id,
            host=row.host,
            device=row.device,
            started_at=row.started_at,
            seen_at=row.seen_at,
            is_alive=(now - row.seen_at).total_seconds() < silent_after_s,
            job_id=row.job_id,
            experiment_id=experiment_id,
            checkpoint=checkpoint,
        )
        for row, experiment_id, checkpoint in rows
    ]


def queue(session: Session, now: datetime) -> QueueView:
    """How many jobs wait and run, and how long the oldest has been waiting."""
    counts = {
        state: count
        for state, count in session.execute(select(Job.state, func.count()).group_by(Job.state))
    }
    oldest = session.scalar(select(func.min(Job.created_at)).where(Job.state == "queued"))
    return QueueView(
        queued=counts.get("queued", 0),
        running=counts.get("running", 0),
        oldest_queued_s=(now - oldest).total_seconds() if oldest else None,
    )
