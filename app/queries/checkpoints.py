"""The catalogue of checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import paging
from app.errors import NotFound
from app.models import Checkpoint, Experiment, ExperimentCheckpoint, Job
from app.queries import titles
from app.schemas import CheckpointView, Page

LIST = "checkpoints"


@dataclass(frozen=True)
class ExperimentUse:
    id: int
    title: str
    attack: str
    state: str


class Filters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    state: str | None = None
    model: str | None = None
    dataset: str | None = None


def page(
    session: Session,
    filters: Filters | None = None,
    cursor: str | None = None,
    limit: int = paging.DEFAULT_LIMIT,
) -> Page[CheckpointView]:
    """In the order they were asked for."""
    wanted = filters or Filters()
    marks = wanted.model_dump()
    after = paging.decode(LIST, marks, cursor)
    statement = select(Checkpoint).order_by(Checkpoint.id).limit(limit + 1)
    if after is not None:
        statement = statement.where(Checkpoint.id > after)
    for name, value in marks.items():
        if value is not None:
            statement = statement.where(getattr(Checkpoint, name) == value)
    rows = session.scalars(statement).all()
    return paging.cut(
        rows,
        limit,
        lambda row: paging.encode(LIST, marks, row.id),
        lambda shown: views(session, shown),
    )


def find(session: Session, name: str) -> Checkpoint:
    row = session.scalar(select(Checkpoint).where(Checkpoint.name == name))
    if row is None:
        raise NotFound(f"there is no checkpoint {name!r}")
    return row


def get(session: Session, name: str) -> CheckpointView:
    return views(session, [find(session, name)])[0]


def views(session: Session, rows: Sequence[Checkpoint]) -> list[CheckpointView]:
    running = session.execute(
        select(Job.checkpoint_id, Job.progress).where(
            Job.checkpoint_id.in_([row.id for row in rows]), Job.state == "running"
        )
    )
    progress = {checkpoint_id: found for checkpoint_id, found in running}
    return [
        CheckpointView(
            id=row.id,
            name=row.name,
            state=row.state,
            model=row.model,
            model_title=titles.model(row.model),
            dataset=row.dataset,
            dataset_title=titles.dataset(row.dataset),
            spec=row.spec,
            is_foreign=row.spec is not None and recipe(row) is None,
            sha256=row.sha256,
            clean_accuracy=row.clean_accuracy,
            clean_images=(row.card or {}).get("test_images"),
            is_adversarial=bool((row.spec or {}).get("adversarial")),
            robust_accuracy=(row.card or {}).get("robust_accuracy"),
            card=row.card,
            seconds=row.seconds,
            error=row.error,
            progress=progress.get(row.id),
            created_at=row.created_at,
        )
        for row in rows
    ]


def recipe(row: Checkpoint) -> dict[str, Any] | None:
    """How it was trained; None where it was elsewhere, and its spec says how it was read."""
    return None if "filename" in (row.spec or {}) else row.spec


def uses(session: Session, checkpoint_id: int, limit: int) -> tuple[list[ExperimentUse], int]:
    """The latest experiments with it as surrogate or victim, and how many there are."""
    mine = ExperimentCheckpoint.checkpoint_id == checkpoint_id
    rows = session.execute(
        select(Experiment.id, Experiment.title, Experiment.attack, Experiment.state)
        .join(ExperimentCheckpoint, ExperimentCheckpoint.experiment_id == Experiment.id)
        .where(mine)
        .order_by(Experiment.id.desc())
        .limit(limit)
    )
    total = session.scalar(select(func.count()).select_from(ExperimentCheckpoint).where(mine))
    return [ExperimentUse(*row) for row in rows], total or 0
