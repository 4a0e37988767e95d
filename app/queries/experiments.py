"""Experiments: the list with filters, and one of them whole."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, Select, Text, cast, or_, select
from sqlalchemy.orm import Session

from app import paging
from app.errors import NotFound
from app.models import (
    Checkpoint,
    Experiment,
    ExperimentCheckpoint,
    Job,
    LogLine,
    OutcomeSum,
    TrialSum,
)
from app.queries import answers, curves, extras, tallies, titles
from app.queries.jobs import view as job_view
from app.queries.stages import Work, stages_of
from app.queries.tallies import Key, Tally
from app.schemas import ExperimentDetail, ExperimentSummary, LogEntry, Page, VictimSummary

LIST = "experiments"


class Filters(BaseModel):
    """What a list of experiments may be narrowed by; empty: everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    state: str | None = None
    attack: str | None = None
    dataset: str | None = None
    profile: str | None = None
    precision: str | None = None
    regime: str | None = None
    access: str | None = None  # of a victim that was judged
    tag: str | None = None
    study: int | None = None
    series: str | None = None  # those that differ only in their seed
    cell: str | None = None  # what a leaderboard's cell counts: board-row-column-access
    text: str | None = None  # in the title or the notes
    since: date | None = None  # launched on that day or later, UTC
    until: date | None = None
    archived: bool | None = None


def page(
    session: Session,
    filters: Filters | None = None,
    cursor: str | None = None,
    limit: int = paging.DEFAULT_LIMIT,
) -> Page[ExperimentSummary]:
    """Newest first. A cursor of another list or of other filters is Invalid."""
    wanted = filters or Filters()
    marks = wanted.model_dump(mode="json")
    before = paging.decode(LIST, marks, cursor)
    statement = narrow(select(Experiment), wanted).order_by(Experiment.id.desc()).limit(limit + 1)
    if before is not None:
        statement = statement.where(Experiment.id < before)
    rows = session.scalars(statement).all()
    return paging.cut(
        rows,
        limit,
        lambda row: paging.encode(LIST, marks, row.id),
        lambda shown: summaries(session, shown),
    )


def narrow(statement: Select[Any], filters: Filters) -> Select[Any]:
    """A statement on experiments, with what the filters ask for."""
    for name in ("state", "attack", "dataset", "profile", "precision", "series"):
        value = getattr(filters, name)
        if value is not None:
            statement = statement.where(getattr(Experiment, name) == value)
    if filters.study is not None:
        statement = statement.where(Experiment.study_id == filters.study)
    if filters.regime:
        statement = statement.where(Experiment.regimes.contains(filters.regime, autoescape=True))
    if filters.tag:
        quoted = json.dumps(filters.tag)
        statement = statement.where(cast(Experiment.tags, Text).contains(quoted, autoescape=True))
    if filters.text:
        statement = statement.where(
            or_(
                Experiment.title.icontains(filters.text, autoescape=True),
                Experiment.notes.icontains(filters.text, autoescape=True),
            )
        )
    return statement.where(*_between(filters), *_measured(filters))


def _between(filters: Filters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.since:
        found.append(Experiment.created_at >= _midnight(filters.since))
    if filters.until:
        found.append(Experiment.created_at < _midnight(filters.until) + timedelta(days=1))
    if filters.archived is not None:
        is_there = Experiment.archived_at.is_(None)
        found.append(~is_there if filters.archived else is_there)
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


def _measured(filters: Filters) -> list[ColumnElement[bool]]:
    """What only those have that were judged."""
    found: list[ColumnElement[bool]] = []
    if filters.access:
        found.append(
            Experiment.id.in_(
                select(OutcomeSum.experiment_id).where(OutcomeSum.access == filters.access)
            )
        )
    if filters.cell:
        board, row, column, access = (*filters.cell.split("-"), "", "", "", "")[:4]
        counted = select(OutcomeSum.experiment_id).where(
            OutcomeSum.board_key == board,
            OutcomeSum.row_key == row,
            OutcomeSum.column_key == column,
            OutcomeSum.is_repeat.is_(False),
        )
        if access:
            counted = counted.where(OutcomeSum.access == access)
        found.append(Experiment.id.in_(counted))
    return found


def find(session: Session, experiment_id: int) -> Experiment:
    row = session.get(Experiment, experiment_id) if 0 < experiment_id < 2**31 else None
    if row is None:
        raise NotFound(f"there is no experiment {experiment_id}")
    return row


def summaries(session: Session, rows: Sequence[Experiment]) -> list[ExperimentSummary]:
    """Rows of the list: three queries for any number of them."""
    ids = [row.id for row in rows]
    counts = tallies.by_victim(session, ids)
    done = trials_done(session, ids)
    models = titles.checkpoint_models(session)
    return [summary(row, counts, done.get(row.id, 0), models) for row in rows]


def trials_done(session: Session, experiment_ids: Sequence[int]) -> dict[int, int]:
    found = session.execute(
        select(TrialSum.experiment_id, TrialSum.trials).where(
            TrialSum.experiment_id.in_(experiment_ids)
        )
    )
    return {experiment_id: count for experiment_id, count in found}


def summary(
    row: Experiment, counts: dict[Key, Tally], done: int, models: dict[str, str]
) -> ExperimentSummary:
    return ExperimentSummary(
        id=row.id,
        title=row.title,
        state=row.state,
        attack=row.attack,
        attack_title=titles.attack(row.attack),
        dataset=row.dataset,
        dataset_title=titles.dataset(row.dataset),
        profile=row.profile,
        precision=row.precision,
        study_id=row.study_id,
        sweep_id=row.sweep_id,
        tags=row.tags,
        archived_at=row.archived_at,
        trials_total=row.trials_total,
        trials_done=done,
        stop_width=row.stop_width,
        stopped_at=row.stopped_at,
        is_sequential=row.is_sequential,
        victims=victims_of(row, counts, models),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def victims_of(
    row: Experiment, counts: dict[Key, Tally], models: dict[str, str]
) -> list[VictimSummary]:
    made = []
    for position, victim in enumerate(row.spec["victims"]):
        found = [(key[2], t) for key, t in counts.items() if key[:2] == (row.id, position)]
        access, tally = found[0] if found else (None, None)
        made.append(
            VictimSummary(
                victim=position,
                title=titles.victim(victim, models),
                label=victim.get("label"),
                regime=victim["regime"],
                checkpoint=victim.get("checkpoint"),
                model=titles.victim_model(victim, models),
                access=access,
                success=tally.success if tally else None,
                twin=tally.twin if tally else None,
                excess=tally.excess if tally else None,
                clean_accuracy=tally.clean_accuracy if tally else None,
                twin_clean_accuracy=tally.twin_clean_accuracy if tally else None,
            )
        )
    return made


def get(session: Session, experiment_id: int, now: datetime) -> ExperimentDetail:
    """One experiment whole; NotFound where there is none."""
    row = find(session, experiment_id)
    [its] = summaries(session, [row])
    checkpoints = checkpoints_of(session, row.id)
    jobs = list(session.scalars(select(Job).where(Job.experiment_id == row.id).order_by(Job.id)))
    pretraining = _pretraining(session, [c.id for c in checkpoints])
    stages = stages_of(its, checkpoints, _work(session, row.id, jobs, pretraining))
    waits_for = [c.name for c in checkpoints if c.state != "ready"]
    ended = row.finished_at or now
    return ExperimentDetail(
        **its.model_dump(),
        spec=row.spec,
        spec_hash=row.spec_hash,
        notes=row.notes,
        error=row.error,
        cloned_from=row.cloned_from,
        answer=answers.of_experiment(its, stages, row.error, waits_for),
        stages=stages,
        jobs=[job_view(job) for job in (*pretraining, *jobs)],
        seconds=(ended - row.started_at).total_seconds() if row.started_at else None,
        extras=extras.by_victim(session, row),
    )


def _work(
    session: Session, experiment_id: int, jobs: Sequence[Job], pretraining: Sequence[Job]
) -> Work:
    open_ids = [job.id for job in (*jobs, *pretraining) if job.state == "running"]
    return Work(
        batches=jobs,
        pretraining=pretraining,
        running=curves.running(session, open_ids),
        pace=curves.pace(session, experiment_id, [job.id for job in pretraining]),
    )


def checkpoints_of(session: Session, experiment_id: int) -> list[Checkpoint]:
    statement = (
        select(Checkpoint)
        .join(ExperimentCheckpoint, ExperimentCheckpoint.checkpoint_id == Checkpoint.id)
        .where(ExperimentCheckpoint.experiment_id == experiment_id)
        .order_by(Checkpoint.id)
    )
    return list(session.scalars(statement))


def _pretraining(session: Session, checkpoint_ids: Sequence[int]) -> list[Job]:
    statement = select(Job).where(Job.checkpoint_id.in_(checkpoint_ids)).order_by(Job.id)
    return list(session.scalars(statement))


def log_tail(
    session: Session, experiment_id: int, after: int = 0, limit: int = 200
) -> list[LogEntry]:
    """The newest lines its jobs (and the pretraining it waited for) said, oldest first."""
    used = select(ExperimentCheckpoint.checkpoint_id).where(
        ExperimentCheckpoint.experiment_id == experiment_id
    )
    its_jobs = select(Job.id).where(
        or_(Job.experiment_id == experiment_id, Job.checkpoint_id.in_(used))
    )
    statement = (
        select(LogLine)
        .where(LogLine.job_id.in_(its_jobs), LogLine.id > after)
        .order_by(LogLine.id.desc())
        .limit(limit)
    )
    return [
        LogEntry(id=line.id, at=line.at, level=line.level, message=line.message)
        for line in reversed(session.scalars(statement).all())
    ]
