"""The line of jobs as a page shows it: what runs, what comes next and why not yet, what ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, defer

from app.models import Checkpoint, Experiment, ExperimentCheckpoint, Job, Trial, Worker

ENDED = ("done", "failed", "cancelled", "skipped")
LOOKED_AT = 200  # of those made last; the ones that ended last are among them


@dataclass(frozen=True)
class Place:
    """One job with what it is for."""

    job: Job
    experiment_id: int | None
    title: str  # of its experiment, or the checkpoint's name
    trials: int
    attack: str | None = None
    host: str | None = None  # of its worker
    waits_for: tuple[str, ...] = ()  # checkpoints that are not ready

    @property
    def is_ending(self) -> bool:
        return self.job.state == "running" and self.job.cancel_requested

    @property
    def progress(self) -> dict[str, Any]:
        return self.job.progress or {}

    @property
    def seconds(self) -> float | None:
        """From its first start to its end."""
        started, finished = self.job.started_at, self.job.finished_at
        return (finished - started).total_seconds() if started and finished else None


def running(session: Session, limit: int) -> list[Place]:
    jobs = session.scalars(
        select(Job).where(Job.state == "running").order_by(Job.started_at, Job.id).limit(limit)
    )
    return _places(session, jobs.all())


def waiting(session: Session, limit: int) -> list[Place]:
    """In the order in which they are taken, as far as their checkpoints are there."""
    jobs = session.scalars(
        select(Job).where(Job.state == "queued").order_by(Job.priority.desc(), Job.id).limit(limit)
    )
    return _places(session, jobs.all())


def ended(session: Session, limit: int) -> list[Place]:
    """The latest first."""
    jobs = session.scalars(
        select(Job)
        .where(Job.state.in_(ENDED))
        .options(defer(Job.provenance))  # long, and not shown
        .order_by(Job.id.desc())
        .limit(LOOKED_AT)
    )
    latest = sorted((job for job in jobs if job.finished_at), key=_end, reverse=True)
    return _places(session, latest[:limit])


def _end(job: Job) -> datetime:
    assert job.finished_at is not None
    return job.finished_at


def _places(session: Session, jobs: Sequence[Job]) -> list[Place]:
    experiments = {job.experiment_id for job in jobs if job.experiment_id}
    titles = {
        row.id: (row.title, row.attack)
        for row in session.execute(
            select(Experiment.id, Experiment.title, Experiment.attack).where(
                Experiment.id.in_(experiments)
            )
        )
    }
    names = _pairs(
        session.execute(
            select(Checkpoint.id, Checkpoint.name).where(
                Checkpoint.id.in_({job.checkpoint_id for job in jobs if job.checkpoint_id})
            )
        )
    )
    counts = _pairs(
        session.execute(
            select(Trial.job_id, func.count())
            .where(Trial.job_id.in_([job.id for job in jobs]))
            .group_by(Trial.job_id)
        )
    )
    hosts = _pairs(
        session.execute(
            select(Worker.id, Worker.host).where(
                Worker.id.in_({job.owner for job in jobs if job.owner})
            )
        )
    )
    missing = _missing(session, experiments)
    return [
        Place(
            job=job,
            experiment_id=job.experiment_id,
            title=titles[job.experiment_id][0] if job.experiment_id else names[job.checkpoint_id],
            trials=counts.get(job.id, 0),
            attack=titles[job.experiment_id][1] if job.experiment_id else None,
            host=hosts.get(job.owner) or (job.owner or "").partition(":")[0] or None,
            waits_for=missing.get(job.experiment_id, ()) if job.state == "queued" else (),
        )
        for job in jobs
    ]


def _missing(session: Session, experiments: set[int]) -> dict[int | None, tuple[str, ...]]:
    """Of each experiment, the checkpoints that are not ready."""
    found: dict[int | None, tuple[str, ...]] = {}
    rows = session.execute(
        select(ExperimentCheckpoint.experiment_id, Checkpoint.name)
        .join(Checkpoint, Checkpoint.id == ExperimentCheckpoint.checkpoint_id)
        .where(ExperimentCheckpoint.experiment_id.in_(experiments), Checkpoint.state != "ready")
        .order_by(Checkpoint.id)
    )
    for experiment_id, name in rows:
        found[experiment_id] = (*found.get(experiment_id, ()), name)
    return found


def _pairs(rows: Any) -> dict[Any, Any]:
    return {key: value for key, value in rows}
