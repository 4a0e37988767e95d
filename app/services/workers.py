"""Workers say that they live, and on what they compute."""

import os
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Job, Worker
from app.services import jobs
from app.services.states import FINAL


def seen(
    session: Session, worker_id: str, host: str, device: str, job_id: int | None, now: datetime
) -> None:
    """Note that a worker is alive and what it is at."""
    worker = session.get(Worker, worker_id)
    if worker is None:
        worker = Worker(id=worker_id, host=host, started_at=now)
        session.add(worker)
    worker.device, worker.job_id, worker.seen_at = device, job_id, now


def gone(session: Session, worker_id: str) -> None:
    """Forget a worker that stopped in good order."""
    worker = session.get(Worker, worker_id)
    if worker is not None:
        session.delete(worker)


def bury(session: Session, worker_id: str, now: datetime) -> list[int]:
    """A worker is dead for certain: its row goes, its jobs are queued again; their ids."""
    gone(session, worker_id)
    return jobs.requeue(session, worker_id, now)


def bury_dead(session: Session, host: str, now: datetime) -> list[int]:
    """Take back what workers of this host held whose process is no more; ids of their jobs.

    Only for a host whose process numbers this process can see.
    """
    known = set(session.scalars(select(Worker.id)))
    owners = session.scalars(select(Job.owner).where(Job.state == "running"))
    known.update(owner for owner in owners if owner)
    dead = sorted(worker for worker in known if _is_dead(worker, host))
    return [job_id for worker in dead for job_id in bury(session, worker, now)]


def ended_jobs(session: Session, ids: Collection[int]) -> list[int]:
    """Those of some jobs that have an end, so that nothing kept for them is needed."""
    return list(session.scalars(select(Job.id).where(Job.id.in_(ids), Job.state.in_(FINAL))))


def _is_dead(worker_id: str, host: str) -> bool:
    name, pid, _ = worker_id.rsplit(":", 2)
    if name != host:
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives, as somebody else's
        return False
    return False
