"""What a job found, written down as it comes: fenced, and harmless when it comes twice."""

from datetime import datetime
from typing import Any

from sqlalchemy import Table, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.models import Checkpoint, Explanation, Job, Outcome, PoisonSet, Provenance, Trial
from app.services import jobs, states, stopping, sums
from app.services.jobs import Lease, LeaseLost
from app.storage import Stored
from poisoning.events import CheckpointDone, OutcomeResult, TrialDone
from poisoning.spec import digest


def record_trial(
    session: Session, lease: Lease, done: TrialDone, stored: Stored, images: int, now: datetime
) -> bool:
    """A finished trial with its outcomes and its poison set; False where it stood there already.

    ``images`` is the number of poisons in the set. Raises LeaseLost.
    """
    job = jobs.held(session, lease)
    trial = session.scalar(select(Trial).where(Trial.job_id == job.id, Trial.number == done.index))
    if trial is None:
        raise LeaseLost(f"job {job.id} has no trial {done.index}")
    if trial.state == "done":
        return False
    poison_set_id = _poison_set(session, stored, images, now)
    # what says nothing of itself was made by this attempt
    crafted_under = keep_provenance(session, done.provenance or job.provenance)
    judged_under = [
        keep_provenance(session, one.provenance or job.provenance) for one in done.outcomes
    ]
    states.move(
        session,
        Trial,
        "done",
        Trial.id == trial.id,
        poison_set_id=poison_set_id,
        finished_at=now,
        provenance_id=crafted_under,
        **done.setup.model_dump(exclude={"base_indices"}),
        base_indices=list(done.setup.base_indices),
        **done.model_dump(
            include={
                "craft_hash", "craft_seconds", "craft_device_seconds", "linf_255", "mean_l2",
                "ssim", "final_loss",
            }
        ),
    )  # fmt: skip
    session.add_all(
        _outcome(trial, outcome, under)
        for outcome, under in zip(done.outcomes, judged_under, strict=True)
    )
    session.get_one(Job, lease.job_id).failures = 0  # it gets on: no poison pill
    session.flush()
    sums.add(session, trial.id)
    stopping.stop_if_narrow(session, trial.experiment_id, now)
    return True


def record_checkpoint(
    session: Session, lease: Lease, done: CheckpointDone, stored: Stored, now: datetime
) -> bool:
    """A trained extractor; experiments that waited for it can run. False if it was ready."""
    job = jobs.held(session, lease)
    checkpoint_id = job.checkpoint_id
    if checkpoint_id is None:
        raise LeaseLost(f"job {job.id} trains no checkpoint")
    moved = states.move(
        session,
        Checkpoint,
        "ready",
        Checkpoint.id == checkpoint_id,
        sha256=stored.sha256,
        clean_accuracy=done.clean_accuracy,
        card=done.card,
        seconds=done.seconds,
        error=None,
        finished_at=now,
    )
    for experiment_id in states.waiting_for(session, checkpoint_id) if moved else ():
        states.settle(session, experiment_id, now)
    return bool(moved)


def _poison_set(session: Session, stored: Stored, images: int, now: datetime) -> int:
    values = {
        "sha256": stored.sha256,
        "images": images,
        "size_bytes": stored.size_bytes,
        "created_at": now,
    }
    insert_if_new(session, PoisonSet.__table__, values)
    found = session.scalar(select(PoisonSet.id).where(PoisonSet.sha256 == stored.sha256))
    assert found is not None
    return found


def keep_provenance(session: Session, data: dict[str, Any] | None) -> int | None:
    """The id of this content, which is kept once."""
    if not data:
        return None
    sha256 = digest(data)
    insert_if_new(session, Provenance.__table__, {"sha256": sha256, "data": data})
    return session.scalar(select(Provenance.id).where(Provenance.sha256 == sha256))


def insert_if_new(session: Session, table: Any, values: dict[str, Any]) -> bool:
    """Insert a row unless one with the same key stands there; True when inserted."""
    assert isinstance(table, Table)
    dialect = session.get_bind().dialect.name
    make: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}.get(dialect, insert)
    result: Any = session.execute(make(table).values(**values).on_conflict_do_nothing())
    return bool(result.rowcount)


def _outcome(trial: Trial, result: OutcomeResult, provenance_id: int | None) -> Outcome:
    poisoned, twin, why = result.poisoned, result.twin, result.explanation
    return Outcome(
        trial_id=trial.id,
        experiment_id=trial.experiment_id,
        victim=result.victim,
        access=result.access,
        success=result.success,
        prediction=poisoned.prediction,
        confidence=poisoned.confidence,
        margin=poisoned.margin,
        clean_accuracy=poisoned.clean_accuracy,
        twin_success=result.twin_success,
        twin_prediction=twin.prediction,
        twin_confidence=twin.confidence,
        twin_margin=twin.margin,
        twin_clean_accuracy=twin.clean_accuracy,
        clean_images=result.clean_images,
        seconds=result.seconds,
        device_seconds=result.device_seconds,
        provenance_id=provenance_id,
        outcome_hash=result.outcome_hash,
        extras=result.extras.model_dump(mode="json", exclude_defaults=True) or None,
        explanation=None if why is None else Explanation(data=why.model_dump(mode="json")),
    )
