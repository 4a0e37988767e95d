"""Silent workers' jobs, taken back."""

from datetime import datetime

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from app.models import Job
from app.services import jobs


class Reaper:
    """Takes back jobs whose heartbeat stood still for a lease, by this process's own clock.

    Wall clocks of two machines are never compared, so a clock that jumps costs nobody a job.
    """

    def __init__(self, lease_s: float) -> None:
        self.lease_s = lease_s
        self._seen: dict[int, tuple[tuple[int, int], float]] = {}

    def sweep(self, session: Session, now: datetime, monotonic: float) -> list[int]:
        """Ids of the jobs taken back; call it about once a second."""
        beats = session.execute(
            select(Job.id, Job.attempt, Job.beats).where(Job.state == "running")
        )
        running = {job_id: (attempt, count) for job_id, attempt, count in beats}
        self._seen = {
            job_id: self._seen[job_id]
            if job_id in self._seen and self._seen[job_id][0] == mark
            else (mark, monotonic)
            for job_id, mark in running.items()
        }
        stale = [
            and_(Job.id == job_id, Job.attempt == mark[0], Job.beats == mark[1])
            for job_id, (mark, since) in self._seen.items()
            if monotonic - since >= self.lease_s
        ]
        if not stale:
            return []
        return jobs.take_back(session, jobs.select_running(session, or_(*stale)), now)
