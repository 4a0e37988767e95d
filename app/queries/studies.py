"""Launched studies and their experiments."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import paging
from app.errors import NotFound
from app.models import Experiment, Study
from app.queries import experiments
from app.schemas import ExperimentSummary, Page, StudyView

LIST = "studies"


def page(
    session: Session, cursor: str | None = None, limit: int = paging.DEFAULT_LIMIT
) -> Page[StudyView]:
    """Newest first."""
    before = paging.decode(LIST, {}, cursor)
    statement = select(Study).order_by(Study.id.desc()).limit(limit + 1)
    if before is not None:
        statement = statement.where(Study.id < before)
    rows = session.scalars(statement).all()
    return paging.cut(
        rows,
        limit,
        lambda row: paging.encode(LIST, {}, row.id),
        lambda shown: views(session, shown),
    )


def find(session: Session, study_id: int) -> Study:
    row = session.get(Study, study_id) if 0 < study_id < 2**31 else None
    if row is None:
        raise NotFound(f"there is no study {study_id}")
    return row


def get(session: Session, study_id: int) -> StudyView:
    return views(session, [find(session, study_id)])[0]


def views(session: Session, rows: Sequence[Study]) -> list[StudyView]:
    found = session.scalars(
        select(Experiment)
        .where(Experiment.study_id.in_([row.id for row in rows]))
        .order_by(Experiment.id)
    ).all()
    summaries = experiments.summaries(session, found)
    made = []
    for row in rows:
        its = [summary for summary in summaries if summary.study_id == row.id]
        made.append(
            StudyView(
                id=row.id,
                name=row.name,
                title=row.title,
                profile=row.profile,
                state=_state(its),
                experiments=its,
                created_at=row.created_at,
            )
        )
    return made


def _state(experiments: Sequence[ExperimentSummary]) -> str:
    """A study runs until all of its experiments have ended; then the worst end is its own."""
    states = {experiment.state for experiment in experiments}
    for state in ("running", "waiting", "queued", "failed", "cancelled"):
        if state in states:
            is_under_way = state in ("waiting", "queued") and "done" in states
            return "running" if is_under_way else state
    return "done"
