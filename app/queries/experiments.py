"""Experiments: the list with filters, and one of them whole."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from app import paging
from app.errors import NotFound
from app.models import Checkpoint, Experiment, ExperimentCheckpoint, Job, LogLine, Trial
from app.queries import answers, extras, tallies, titles
from app.queries.jobs import view as job_view
from app.queries.stages import stages_of
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
    study: int | None = None
    text: str | None = None  # in the title or the notes


def page(
    session: Session,
    filters: Filters | None = None,
    cursor: str | None = None,
    limit: int = paging.DEFAULT_LIMIT,
) -> Page[ExperimentSummary]:
    """Newest first. A cursor of another list or of other filters is Invalid."""
    wanted = filters or Filters()
    marks = wanted.model_dump()
    before = paging.decode(LIST, marks, cursor)
    statement = _narrow(select(Experiment), wanted).order_by(Experiment.id.desc()).limit(limit + 1)
    if before is not None:
        statement = statement.where(Experiment.id < before)
    rows = session.scalars(statement).all()
    return paging.cut(
        rows,
        limit,
        lambda row: paging.encode(LIST, marks, row.id),
        lambda shown: summaries(session, shown),
    )


def _narrow(statement: Select[Any], filters: Filters) -> Select[Any]:
    for name in ("state", "attack", "dataset", "profile"):
        value = getattr(filters, name)
        if value is not None:
            statement = statement.where(getattr(Experiment, name) == value)
    if filters.study is not None:
        statement = statement.where(Experiment.study_id == filters.study)
    if filters.text:
        statement = statement.where(
            or_(
                Experiment.title.icontains(filters.text, autoescape=True),
                Experiment.notes.icontains(filters.text, autoescape=True),
            )
        )
    return statement


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
    return [_summary(row, counts, done.get(row.id, 0), models) for row in rows]


def trials_done(session: Session, experiment_ids: Sequence[int]) -> dict[int, int]:
    found = session.execute(
        select(Trial.experiment_id, func.count())
        .where(Trial.experiment_id.in_(experiment_ids), Trial.state == "done")
        .group_by(Trial.experiment_id)
    )
    return {experiment_id: count for experiment_id, count in found}


def _summary(
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
        trials_total=row.trials_total,
        trials_done=done,
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
    [summary] = summaries(session, [row])
    checkpoints = checkpoints_of(session, row.id)
    jobs = list(session.scalars(select(Job).where(Job.experiment_id == row.id).order_by(Job.id)))
    pretraining = _pretraining(session, [c.id for c in checkpoints])
    stages = stages_of(summary, jobs, checkpoints, pretraining, now)
    waits_for = [c.name for c in checkpoints if c.state != "ready"]
    ended = row.finished_at or now
    return ExperimentDetail(
        **summary.model_dump(),
        spec=row.spec,
        spec_hash=row.spec_hash,
        notes=row.notes,
        error=row.error,
        cloned_from=row.cloned_from,
        answer=answers.of_experiment(summary, stages, row.error, waits_for),
        stages=stages,
        jobs=[job_view(job) for job in (*pretraining, *jobs)],
        seconds=(ended - row.started_at).total_seconds() if row.started_at else None,
        extras=extras.by_victim(session, row.id),
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
