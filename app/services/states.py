"""The only module that changes states. A move that is not in the table below does not happen.

Every change is one conditional UPDATE: it moves the rows that are in a state the move is legal
from, and says which. Two processes that race for the same row therefore cannot both win.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from app.models import Checkpoint, Experiment, ExperimentCheckpoint, Job, Trial

Stateful = type[Experiment] | type[Job] | type[Trial] | type[Checkpoint]

# state -> the states it may be entered from
JOB: Mapping[str, frozenset[str]] = {
    "queued": frozenset({"running", "failed", "cancelled", "skipped"}),
    "running": frozenset({"queued"}),
    "done": frozenset({"running"}),
    "failed": frozenset({"queued", "running"}),
    "cancelled": frozenset({"queued", "running"}),
    "skipped": frozenset({"queued", "running"}),  # its experiment stopped early
}
TRIAL: Mapping[str, frozenset[str]] = JOB
CHECKPOINT: Mapping[str, frozenset[str]] = {
    "queued": frozenset({"training", "failed", "cancelled"}),
    "training": frozenset({"queued"}),
    "ready": frozenset({"training"}),
    "failed": frozenset({"queued", "training"}),
    "cancelled": frozenset({"queued", "training"}),
}
# An experiment's state is computed from its jobs. What failed or was cancelled may be retried,
# what is done extended.
_OPEN = frozenset({"queued", "waiting", "running"})
_ENDED = frozenset({"done", "failed", "cancelled"})
EXPERIMENT: Mapping[str, frozenset[str]] = {
    "queued": _OPEN | _ENDED,
    "waiting": _OPEN | _ENDED,
    "running": _OPEN | _ENDED,
    "done": _OPEN,
    "failed": _OPEN,
    "cancelled": _OPEN,
}
MOVES: Mapping[Stateful, Mapping[str, frozenset[str]]] = {
    Job: JOB,
    Trial: TRIAL,
    Checkpoint: CHECKPOINT,
    Experiment: EXPERIMENT,
}
FINAL = _ENDED | {"skipped"}


def move(
    session: Session, noun: Stateful, to: str, *where: ColumnElement[bool], **values: Any
) -> list[int]:
    """Move the rows that match ``where`` and may go there to state ``to``; the ids of those moved.

    ``values`` are written with the state, in the same statement.
    """
    statement = (
        update(noun)
        .where(noun.state.in_(MOVES[noun][to]), *where)
        .values(state=to, **values)
        .returning(noun.id)
        .execution_options(synchronize_session=False)
    )
    moved = list(session.scalars(statement))
    if moved:
        session.expire_all()
    return moved


def settle(session: Session, experiment_id: int, now: datetime, error: str | None = None) -> str:
    """Let an experiment's state follow from its jobs; the state it is in now.

    The experiment's row is locked first, so that two jobs that end at once see each other.
    """
    current = session.scalar(
        select(Experiment.state).where(Experiment.id == experiment_id).with_for_update()
    )
    state = _state_of(session, experiment_id)
    if state == current:
        return state
    values: dict[str, Any] = {"finished_at": now if state in FINAL else None}
    if state == "running":
        values["started_at"] = func.coalesce(Experiment.started_at, now)
    if state == "failed":
        values["error"] = error
    elif state not in FINAL:
        values["error"] = None
    move(session, Experiment, state, Experiment.id == experiment_id, **values)
    return state


def _state_of(session: Session, experiment_id: int) -> str:
    found = set(
        session.scalars(select(Job.state).where(Job.experiment_id == experiment_id).distinct())
    )
    if "running" in found:
        return "running"
    if "queued" in found:
        if not are_checkpoints_ready(session, experiment_id):
            return "waiting"
        return "running" if found & {"done", "skipped"} else "queued"
    for state in ("failed", "cancelled"):
        if state in found:
            return state
    return "done"


def are_checkpoints_ready(session: Session, experiment_id: int) -> bool:
    missing = (
        select(Checkpoint.id)
        .join(ExperimentCheckpoint, ExperimentCheckpoint.checkpoint_id == Checkpoint.id)
        .where(ExperimentCheckpoint.experiment_id == experiment_id, Checkpoint.state != "ready")
    )
    return session.scalar(missing.limit(1)) is None


def waiting_for(session: Session, checkpoint_id: int) -> list[int]:
    """The unfinished experiments that use a checkpoint."""
    return list(
        session.scalars(
            select(Experiment.id)
            .join(ExperimentCheckpoint, ExperimentCheckpoint.experiment_id == Experiment.id)
            .where(
                ExperimentCheckpoint.checkpoint_id == checkpoint_id,
                Experiment.state.not_in(FINAL),
            )
            .order_by(Experiment.id)
        )
    )
