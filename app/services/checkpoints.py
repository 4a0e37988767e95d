"""Checkpoints by name: there already, or a known recipe that becomes a queued pretraining."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Conflict, Invalid, NotFound
from app.models import Checkpoint, Job
from app.services import jobs, states
from app.services.datasets import check_files
from app.services.results import insert_if_new
from app.settings import Settings
from poisoning import catalog, shipped
from poisoning.recipes import RECIPES
from poisoning.spec import CHECKPOINT_SPEC, PretrainSpec


def find(session: Session, name: str) -> Checkpoint | None:
    """The row of a checkpoint, held so that it cannot fail while an experiment starts to wait."""
    statement = select(Checkpoint).where(Checkpoint.name == name)
    return session.scalar(statement.with_for_update(read=True))


def ensure(
    session: Session, settings: Settings, name: str, field: str, now: datetime
) -> Checkpoint:
    """The checkpoint of that name; a known recipe is queued where it is not there yet.

    Invalid, naming ``field``, where the name means nothing.
    """
    row = find(session, name)
    if row is not None:
        if row.state in ("failed", "cancelled"):
            queue_again(session, row)
        return row
    if name not in RECIPES:
        known = {*RECIPES, *session.scalars(select(Checkpoint.name))}
        error = catalog.UnknownName("checkpoint", name, known)
        raise Invalid.field(field, str(error), "name one of the catalogue, or train it first")
    return _queue(session, settings, name, RECIPES[name], field, now)


def train(
    session: Session, settings: Settings, name: str, spec: PretrainSpec | None, now: datetime
) -> Checkpoint:
    """Train a checkpoint under a name: a recipe's, or a new one with a spec of its own.

    Asking again is harmless; a name that stands for something else is Conflict.
    """
    if spec is None:
        return ensure(session, settings, name, "name", now)
    if name in RECIPES and RECIPES[name] != spec:
        raise Conflict(f"{name!r} is the name of a recipe with another spec; choose another name")
    row = find(session, name)
    if row is None:
        return _queue(session, settings, name, spec, "spec.dataset", now)
    if row.spec is None or CHECKPOINT_SPEC.validate_python(row.spec) != spec:
        raise Conflict(f"there is a checkpoint {name!r} with another spec; choose another name")
    if row.state in ("failed", "cancelled"):
        queue_again(session, row)
    return row


def cancel(session: Session, name: str, now: datetime) -> None:
    """Stop what makes a checkpoint; experiments that wait for it fail and say so."""
    row = find(session, name)
    if row is None:
        raise NotFound(f"there is no checkpoint {name!r}")
    if row.state in ("ready", "failed"):
        raise Conflict(f"checkpoint {name!r} is {row.state}; there is nothing to cancel")
    jobs.cancel(session, now, Job.checkpoint_id == row.id)


def retry(session: Session, name: str) -> None:
    """Queue again what failed or was cancelled. Conflict where nothing did."""
    row = find(session, name)
    if row is None:
        raise NotFound(f"there is no checkpoint {name!r}")
    if row.state not in ("failed", "cancelled"):
        raise Conflict(f"checkpoint {name!r} is {row.state}; there is nothing to retry")
    queue_again(session, row)


def _queue(
    session: Session, settings: Settings, name: str, spec: PretrainSpec, field: str, now: datetime
) -> Checkpoint:
    if shipped.find(name, spec) is None:
        check_files(settings, spec.dataset, field)
    values = {
        "name": name,
        "state": "queued",
        "spec": spec.model_dump(mode="json"),
        "model": spec.model,
        "dataset": spec.dataset,
        "created_at": now,
    }
    is_new = insert_if_new(session, Checkpoint.__table__, values)
    row = find(session, name)
    assert row is not None
    if is_new:
        session.add(
            Job(
                kind="pretrain",
                checkpoint_id=row.id,
                priority=jobs.PRETRAIN_PRIORITY,
                created_at=now,
            )
        )
        session.flush()
    return row


def queue_again(session: Session, row: Checkpoint) -> None:
    """Queue the job of a checkpoint that failed or was cancelled once more."""
    checkpoint_id = row.id
    states.move(
        session, Checkpoint, "queued", Checkpoint.id == checkpoint_id, error=None, finished_at=None
    )
    jobs.queue_again(session, Job.checkpoint_id == checkpoint_id)
