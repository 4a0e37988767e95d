"""What people add to an experiment: tags, notes, whether it is still shown in the list."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, Field, ValidationError
from sqlalchemy.orm import Session

from app import errors
from app.models import Experiment
from app.queries.experiments import find
from app.requests import Tag


class Annotation(BaseModel):
    """Tags and notes as they may be."""

    tags: list[Tag] = Field([], max_length=20)
    notes: str = Field("", max_length=20_000)


def annotate(session: Session, experiment_id: int, tags: Sequence[str], notes: str) -> Experiment:
    """Replace an experiment's tags and notes; Invalid where one cannot be."""
    row = find(session, experiment_id)
    wanted = _checked(tags, notes)
    row.tags, row.notes = list(dict.fromkeys(wanted.tags)), wanted.notes
    session.flush()
    return row


def add_tags(session: Session, experiment_id: int, tags: Sequence[str]) -> Experiment:
    row = find(session, experiment_id)
    return annotate(session, experiment_id, list(dict.fromkeys([*row.tags, *tags])), row.notes)


def archive(session: Session, experiment_id: int, now: datetime | None) -> Experiment:
    """Take an experiment out of the list; None puts it back. Leaderboards go on counting it."""
    row = find(session, experiment_id)
    row.archived_at = now
    session.flush()
    return row


def words(text: str) -> list[str]:
    """Tags as somebody types them, with commas between."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _checked(tags: Sequence[str], notes: str) -> Annotation:
    try:
        return Annotation(tags=list(tags), notes=notes)
    except ValidationError as error:
        raise errors.invalid(error, Annotation) from None
