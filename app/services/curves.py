"""How the stages of jobs went, written down with their heartbeats: one row for each."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sqlalchemy.orm import Session

from app.models import JobStage

Point = tuple[float, float, int]  # share of the stage that is done, value, run


@dataclass(frozen=True)
class Course:
    """One stage of a job, or one victim of it: how far, how fast, what it optimised.

    ``measured`` is the share of the stage that took ``seconds``. Points of one run belong
    together; another run is another training or another batch.
    """

    stage: str
    victim: int
    done: int
    total: int
    unit: str
    seconds: float
    measured: float
    curves: dict[str, list[Point]]


def keep(session: Session, job_id: int, courses: Iterable[Course]) -> None:
    """Write them over what stands there. The caller holds the job's lease in this transaction."""
    for course in courses:
        session.merge(JobStage(job_id=job_id, **asdict(course)))
