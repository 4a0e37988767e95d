"""What a bundle is made of, beside the trials (app.queries.results)."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.models import Checkpoint, Experiment, ExperimentCheckpoint, Trial


def experiments_of(session: Session, study_id: int) -> Sequence[Experiment]:
    """Of a study, in the order they were launched."""
    statement = select(Experiment).where(Experiment.study_id == study_id).order_by(Experiment.id)
    return session.scalars(statement).all()


def checkpoints_of(session: Session, rows: Sequence[Experiment]) -> Sequence[Checkpoint]:
    """Those that any of the experiments uses and that are there."""
    used = select(ExperimentCheckpoint.checkpoint_id).where(
        ExperimentCheckpoint.experiment_id.in_([row.id for row in rows])
    )
    statement = select(Checkpoint).where(Checkpoint.id.in_(used), Checkpoint.sha256.is_not(None))
    return session.scalars(statement.order_by(Checkpoint.name)).all()


def newest_result(session: Session, rows: Sequence[Experiment]) -> datetime | None:
    """When the last trial of these experiments was finished."""
    numbers = [row.id for row in rows]
    chosen = Trial.experiment_id.in_(numbers), Trial.state == "done"
    return session.scalar(select(func.max(Trial.finished_at)).where(*chosen))
