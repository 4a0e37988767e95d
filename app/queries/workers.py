"""Workers that have been seen, and how much work waits for them."""

from datetime import datetime, timedelta

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from app.models import Checkpoint, ExperimentCheckpoint, Job, Worker
from app.schemas import QueueView, WorkerAt, WorkerView

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


def at_work_on(session: Session, experiment_id: int) -> list[WorkerAt]:
    """Who runs a batch of an experiment, or the pretraining it waits for; by job."""
    used = select(ExperimentCheckpoint.checkpoint_id).where(
        ExperimentCheckpoint.experiment_id == experiment_id
    )
    rows = session.execute(
        select(Job, Worker, Checkpoint.name)
        .outerjoin(Worker, Worker.id == Job.owner)
        .outerjoin(Checkpoint, Checkpoint.id == Job.checkpoint_id)
        .where(
            Job.state == "running",
            or_(Job.experiment_id == experiment_id, Job.checkpoint_id.in_(used)),
        )
        .order_by(Job.id)
    )
    return [
        WorkerAt(
            job_id=job.id,
            host=worker.host if worker else (job.owner or "").partition(":")[0],
            device=_device(job, worker),
            attempt=job.attempt,
            checkpoint=checkpoint,
            stage=(job.progress or {}).get("stage"),
            seen_at=worker.seen_at if worker else None,
        )
        for job, worker, checkpoint in rows
    ]


def _device(job: Job, worker: Worker | None) -> str | None:
    """What the job itself says it computes on; before it has, what its worker is set to."""
    said = (job.provenance or {}).get("device")
    return said or (worker.device if worker else None)


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
