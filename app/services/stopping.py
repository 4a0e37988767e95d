"""Stopping early: what is measured precisely enough is not measured any further.

An experiment with a ``stop_width`` stops as soon as every victim's confidence sequence over its
finished trials is at most that wide. That it did is one moment in its row, written with the trial
that decided it, so that a worker which dies takes nothing back. What is queued is skipped at once,
what runs when its worker hears of it. A trial that is finished before that counts like any other:
a confidence sequence holds at every n.
"""

from datetime import datetime

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from app.models import Experiment, Job, OutcomeSum, Trial
from app.services import states
from poisoning import stats


def stop_if_narrow(session: Session, experiment_id: int, now: datetime) -> bool:
    """Whether the experiment runs no further trials; call it when a trial was recorded or queued.

    Its row is locked first, so that two trials recorded at once see each other. Queued jobs that
    another transaction holds are left to it: whoever claims them hears of the stop.
    """
    its = Experiment.id == experiment_id
    if session.scalar(select(Experiment.stop_width).where(its)) is None:
        return False
    experiment = session.scalars(
        select(Experiment).where(its).with_for_update().execution_options(populate_existing=True)
    ).one()
    width, victims = experiment.stop_width, len(experiment.spec["victims"])
    if width is None:
        return False
    if experiment.stopped_at is None:
        if not _is_unfinished(session, experiment_id) or not _is_narrow(
            session, experiment_id, victims, width
        ):
            return False
        session.execute(update(Experiment).where(its).values(stopped_at=now))
    free = select(Job.id).where(Job.experiment_id == experiment_id, Job.state == "queued")
    skip(session, list(session.scalars(free.with_for_update(skip_locked=True, of=Job))), now)
    states.settle(session, experiment_id, now)
    return True


def has_stopped(session: Session, job_id: int) -> bool:
    """Whether a job's trials are not wanted any more."""
    stopped = select(Experiment.stopped_at).join(Job, Job.experiment_id == Experiment.id)
    return session.scalar(stopped.where(Job.id == job_id)) is not None


def skip(session: Session, job_ids: list[int], now: datetime) -> None:
    """End jobs with what they have; a job all of whose trials are done is done."""
    unfinished = exists().where(Trial.job_id == Job.id, Trial.state != "done")
    ended = {"finished_at": now, "owner": None, "error": None}
    states.move(session, Job, "done", Job.id.in_(job_ids), ~unfinished, **ended)
    states.move(session, Job, "skipped", Job.id.in_(job_ids), **ended)
    states.move(session, Trial, "skipped", Trial.job_id.in_(job_ids), finished_at=now)


def _is_unfinished(session: Session, experiment_id: int) -> bool:
    left = select(Trial.id).where(Trial.experiment_id == experiment_id, Trial.state != "done")
    return session.scalar(left.limit(1)) is not None


def _is_narrow(session: Session, experiment_id: int, victims: int, width: float) -> bool:
    counts = session.execute(
        select(func.sum(OutcomeSum.successes), func.sum(OutcomeSum.n))
        .where(OutcomeSum.experiment_id == experiment_id)
        .group_by(OutcomeSum.victim)
    ).all()
    return len(counts) == victims and all(
        stats.is_narrow_enough(int(successes), int(n), width) for successes, n in counts
    )
