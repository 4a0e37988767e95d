"""Workers say that they live, and on what they compute."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.models import Worker


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
