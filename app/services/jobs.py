"""Work: claimed, kept alive, reported, taken back. Everything a worker writes is fenced.

A job is claimed by compare-and-set. ``Lease`` (job, attempt, owner) is the fencing token: a worker
whose job was taken back meanwhile gets LeaseLost for whatever it still wants to write, and must
end its child. All functions run inside the caller's transaction (``database.write()``).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session

from app.models import Checkpoint, Experiment, ExperimentCheckpoint, Job, LogLine, Trial
from app.services import batches, states, stopping
from poisoning.events import Failed, Log, Progress, Started
from poisoning.spec import CHECKPOINT_SPEC, AdoptSpec, ExperimentSpec, PretrainSpec

MAX_FAILURES = 3  # deaths and errors without a finished trial in between
PRETRAIN_PRIORITY = 10  # experiments wait for checkpoints, nothing waits for an experiment
RETRIED = frozenset({"error"})  # reasons that may go away by themselves


class LeaseLost(Exception):
    """The job is no longer this worker's: it was taken back, ended or cancelled."""


@dataclass(frozen=True)
class Lease:
    job_id: int
    attempt: int
    owner: str


@dataclass(frozen=True)
class Claim:
    """What a worker needs to run a job it has claimed."""

    lease: Lease
    kind: Literal["trials", "pretrain", "adopt"]
    spec: ExperimentSpec | PretrainSpec | AdoptSpec
    experiment_id: int | None = None
    indices: tuple[int, ...] = ()  # trials that are not done yet
    # name -> sha256 in the store: what trials need; of an adoption, all that are there
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    name: str = ""  # the checkpoint a pretraining or an adoption makes


# --- taking work ------------------------------------------------------------------------------


def is_work_waiting(session: Session) -> bool:
    """A plain read: idle workers ask this first, so that they do not take the write lock."""
    return session.scalar(_next_job()) is not None


def claim(session: Session, owner: str, now: datetime, lease_s: float) -> Claim | None:
    """The most urgent job that can run, now this worker's; None where there is none."""
    candidate = _next_job().with_for_update(skip_locked=True, of=Job).scalar_subquery()
    moved = states.move(
        session,
        Job,
        "running",
        Job.id == candidate,
        owner=owner,
        attempt=Job.attempt + 1,
        lease_until=now + timedelta(seconds=lease_s),
        started_at=func.coalesce(Job.started_at, now),
        cancel_requested=False,
        progress=None,
        error=None,
    )
    if not moved:
        return None
    job = session.get_one(Job, moved[0])
    lease = Lease(job.id, job.attempt, owner)
    if job.checkpoint_id is not None:
        return _claim_checkpoint(session, job, lease)
    return _claim_trials(session, job, lease, now)


def _next_job() -> Any:
    """The id of the most urgent queued job whose checkpoints are all ready."""
    blocked = (
        select(ExperimentCheckpoint.checkpoint_id)
        .join(Checkpoint, Checkpoint.id == ExperimentCheckpoint.checkpoint_id)
        .where(ExperimentCheckpoint.experiment_id == Job.experiment_id, Checkpoint.state != "ready")
        .exists()
    )
    return (
        select(Job.id)
        .where(Job.state == "queued", or_(Job.checkpoint_id.is_not(None), ~blocked))
        .order_by(Job.priority.desc(), Job.id)
        .limit(1)
    )


def _claim_checkpoint(session: Session, job: Job, lease: Lease) -> Claim:
    states.move(session, Checkpoint, "training", Checkpoint.id == job.checkpoint_id, error=None)
    row = session.get_one(Checkpoint, job.checkpoint_id)
    spec = CHECKPOINT_SPEC.validate_python(row.spec)
    if isinstance(spec, PretrainSpec):
        return Claim(lease, "pretrain", spec, name=row.name)
    there = select(Checkpoint.name, Checkpoint.sha256).where(Checkpoint.state == "ready")
    known = {name: sha256 or "" for name, sha256 in session.execute(there)}
    return Claim(lease, "adopt", spec, name=row.name, checkpoints=known)


def _claim_trials(session: Session, job: Job, lease: Lease, now: datetime) -> Claim:
    states.move(session, Trial, "running", Trial.job_id == job.id)
    experiment_id = job.experiment_id
    assert experiment_id is not None
    states.settle(session, experiment_id, now)
    experiment = session.get_one(Experiment, experiment_id)
    numbers = session.scalars(
        select(Trial.number)
        .where(Trial.job_id == lease.job_id, Trial.state == "running")
        .order_by(Trial.number)
    )
    used = session.execute(
        select(Checkpoint.name, Checkpoint.sha256)
        .join(ExperimentCheckpoint, ExperimentCheckpoint.checkpoint_id == Checkpoint.id)
        .where(ExperimentCheckpoint.experiment_id == experiment_id)
    )
    return Claim(
        lease,
        "trials",
        ExperimentSpec.model_validate(experiment.spec),
        experiment_id=experiment_id,
        indices=tuple(numbers),
        checkpoints={name: sha256 or "" for name, sha256 in used},
    )


# --- while it runs ----------------------------------------------------------------------------


def held(session: Session, lease: Lease) -> Job:
    """The job, its row locked, if the lease still holds; LeaseLost otherwise."""
    job = session.scalar(select(Job).where(*_fence(lease)).with_for_update(of=Job))
    if job is None:
        raise LeaseLost(f"job {lease.job_id} is no longer held by attempt {lease.attempt}")
    return job


def heartbeat(
    session: Session, lease: Lease, progress: Progress | None, now: datetime, lease_s: float
) -> bool:
    """Keep the lease alive and write the progress down; True when the job shall be ended."""
    values: dict[str, Any] = {
        "lease_until": now + timedelta(seconds=lease_s),
        "beats": Job.beats + 1,
    }
    if progress is not None:
        values["progress"] = progress.model_dump(mode="json", exclude={"event"})
    statement = update(Job).where(*_fence(lease)).values(**values)
    wanted = session.scalars(
        statement.returning(Job.cancel_requested).execution_options(synchronize_session=False)
    ).all()
    if not wanted:
        raise LeaseLost(f"job {lease.job_id} is no longer held by attempt {lease.attempt}")
    return wanted[0] or stopping.has_stopped(session, lease.job_id)


def note_started(session: Session, lease: Lease, started: Started) -> None:
    """Keep what the job runs on: versions, device, threads, commit."""
    held(session, lease).provenance = started.provenance


def log(session: Session, lease: Lease, lines: Iterable[tuple[datetime, Log]]) -> None:
    """Append what the job said."""
    held(session, lease)
    session.add_all(
        LogLine(job_id=lease.job_id, at=at, level=line.level, message=line.message)
        for at, line in lines
    )


# --- how it ends ------------------------------------------------------------------------------


def finish(session: Session, lease: Lease, now: datetime) -> str:
    """The child said it is done. A job with something missing is failed instead; its new state."""
    job = held(session, lease)
    if job.checkpoint_id is not None:
        complete = session.get_one(Checkpoint, job.checkpoint_id).state == "ready"
    else:
        missing = select(Trial.id).where(Trial.job_id == job.id, Trial.state != "done")
        complete = session.scalar(missing.limit(1)) is None
    if not complete:
        return fail(
            session, lease, Failed(reason="error", message="ended without all its results"), now
        )
    states.move(session, Job, "done", Job.id == job.id, finished_at=now, owner=None)
    _settle_owner(session, job.id, now)
    return "done"


def fail(session: Session, lease: Lease, failed: Failed, now: datetime) -> str:
    """The job cannot go on: tried again where that may help, else failed; its new state."""
    job = held(session, lease)
    if failed.reason in RETRIED or stopping.has_stopped(session, job.id):
        return _put_back(session, job, now, failed)
    if failed.reason == "out_of_memory" and batches.halve(session, job, now):
        return _put_back(session, job, now, None)
    _fail(session, job, failed, now)
    return "failed"


def release(session: Session, lease: Lease, now: datetime) -> str:
    """Hand a job back unharmed, as on a worker's orderly stop; its new state."""
    return _put_back(session, held(session, lease), now, None)


def confirm_ended(session: Session, lease: Lease, now: datetime) -> str:
    """The child is gone because somebody asked for it, or its experiment stopped; the new state."""
    job = held(session, lease)
    if stopping.has_stopped(session, job.id):
        return _skip(session, job, now)
    _cancel(session, job, now)
    return "cancelled"


def cancel(session: Session, now: datetime, *where: ColumnElement[bool]) -> None:
    """Cancel jobs: queued ones at once, running ones as soon as their worker hears of it."""
    session.execute(
        update(Job)
        .where(Job.state == "running", *where)
        .values(cancel_requested=True)
        .execution_options(synchronize_session=False)
    )
    for job in session.scalars(select(Job).where(Job.state == "queued", *where)).all():
        _cancel(session, job, now)


def queue_again(
    session: Session,
    *where: ColumnElement[bool],
    ended: Collection[str] = ("failed", "cancelled"),
) -> list[int]:
    """Queue jobs that ended so anew, with what they have not done yet; their ids."""
    found = select(Job.id).where(Job.state.in_(ended), *where)
    ids = list(session.scalars(found))
    states.move(
        session,
        Job,
        "queued",
        Job.id.in_(ids),
        failures=0,
        cancel_requested=False,
        error=None,
        progress=None,
        finished_at=None,
    )
    states.move(session, Trial, "queued", Trial.job_id.in_(ids), finished_at=None)
    return ids


def requeue(session: Session, owner: str, now: datetime) -> list[int]:
    """Take back every job of a worker that is known to be dead; their ids."""
    return take_back(session, select_running(session, Job.owner == owner), now)


def select_running(session: Session, *where: ColumnElement[bool]) -> list[Job]:
    statement = select(Job).where(Job.state == "running", *where).order_by(Job.id)
    return list(session.scalars(statement.with_for_update(skip_locked=True, of=Job)))


def take_back(session: Session, jobs: Iterable[Job], now: datetime) -> list[int]:
    died = Failed(
        reason="error",
        message="its process died or fell silent",
        remedy="look at the log for its last words; memory is the usual reason",
    )
    ids = [job.id for job in jobs]
    for job_id in ids:
        _put_back(session, session.get_one(Job, job_id), now, died)
    return ids


# --- inside -----------------------------------------------------------------------------------


def _fence(lease: Lease) -> tuple[ColumnElement[bool], ...]:
    return (
        Job.id == lease.job_id,
        Job.attempt == lease.attempt,
        Job.owner == lease.owner,
        Job.state == "running",
    )


def _put_back(session: Session, job: Job, now: datetime, failed: Failed | None) -> str:
    """Queue a running job again, unless it was to end or has failed too often."""
    if stopping.has_stopped(session, job.id):
        return _skip(session, job, now)
    if job.cancel_requested:
        _cancel(session, job, now)
        return "cancelled"
    job.failures += failed is not None
    if failed is not None and job.failures >= MAX_FAILURES:
        _fail(session, job, failed, now)
        return "failed"
    error = failed.model_dump(mode="json") if failed else None
    job_id = job.id
    states.move(session, Job, "queued", Job.id == job_id, owner=None, progress=None, error=error)
    states.move(session, Trial, "queued", Trial.job_id == job_id)
    states.move(session, Checkpoint, "queued", Checkpoint.id == job.checkpoint_id)
    _settle_owner(session, job_id, now)
    return "queued"


def _fail(session: Session, job: Job, failed: Failed, now: datetime) -> None:
    job_id, checkpoint_id = job.id, job.checkpoint_id
    error = failed.model_dump(mode="json")
    states.move(session, Job, "failed", Job.id == job_id, finished_at=now, owner=None, error=error)
    states.move(session, Trial, "failed", Trial.job_id == job_id, finished_at=now)
    if checkpoint_id is None:
        _settle_owner(session, job_id, now, in_words(failed))
        return
    states.move(
        session,
        Checkpoint,
        "failed",
        Checkpoint.id == checkpoint_id,
        finished_at=now,
        error=f"{failed.field}: {in_words(failed)}" if failed.field else in_words(failed),
    )
    _end_waiting(session, checkpoint_id, now, failed.message)


def _cancel(session: Session, job: Job, now: datetime) -> None:
    job_id, checkpoint_id = job.id, job.checkpoint_id
    states.move(session, Job, "cancelled", Job.id == job_id, finished_at=now, owner=None)
    states.move(session, Trial, "cancelled", Trial.job_id == job_id, finished_at=now)
    if checkpoint_id is None:
        _settle_owner(session, job_id, now)
        return
    states.move(session, Checkpoint, "cancelled", Checkpoint.id == checkpoint_id, finished_at=now)
    _end_waiting(session, checkpoint_id, now, "it was cancelled")


def _skip(session: Session, job: Job, now: datetime) -> str:
    job_id = job.id
    stopping.skip(session, [job_id], now)
    _settle_owner(session, job_id, now)
    return session.get_one(Job, job_id).state


def _end_waiting(session: Session, checkpoint_id: int, now: datetime, why: str) -> None:
    """Fail the experiments that wait for a checkpoint which will not come."""
    name = session.get_one(Checkpoint, checkpoint_id).name
    failed = Failed(
        reason="error",
        message=f"checkpoint {name} is not there: {why}",
        field="surrogates",
        remedy="retry once the cause is gone; a retry makes the checkpoint anew",
    )
    for experiment_id in states.waiting_for(session, checkpoint_id):
        jobs = select(Job).where(Job.experiment_id == experiment_id, Job.state == "queued")
        for job in session.scalars(jobs).all():
            _fail(session, job, failed, now)


def in_words(failed: Failed) -> str:
    """What went wrong, and what to do about it."""
    return f"{failed.message}; {failed.remedy}" if failed.remedy else failed.message


def _settle_owner(session: Session, job_id: int, now: datetime, error: str | None = None) -> None:
    experiment_id = session.get_one(Job, job_id).experiment_id
    if experiment_id is not None:
        states.settle(session, experiment_id, now, error)
