"""Counts per experiment and victim, kept as trials come, so that no page counts outcomes again.

What is kept is what ``recount`` would give; a test holds the two together.
"""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    and_,
    case,
    cast,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased

from app import places
from app.models import Experiment, Outcome, OutcomeSum, Trial, TrialSum

OUTCOME_COUNTS = ("n", "successes", "twins", "both", "clean", "twin_clean")
TRIAL_COUNTS = ("trials", "craft_seconds", "mean_l2", "ssim")


def add(session: Session, trial_id: int) -> None:
    """Add a trial that has just been written down, in the transaction that wrote it."""
    for values in _trials(session, Trial.id == trial_id):
        _merge(session, TrialSum, values, TRIAL_COUNTS)
    for values in _outcomes(session, Outcome.trial_id == trial_id):
        _merge(session, OutcomeSum, values, OUTCOME_COUNTS)


def recount(session: Session) -> None:
    """Everything anew from trials and outcomes."""
    trials = _trials(session, Trial.state == "done")
    outcomes = _outcomes(session, Outcome.id > 0)
    for table, rows in ((TrialSum, trials), (OutcomeSum, outcomes)):
        session.execute(delete(table))
        if rows:
            session.execute(insert(table), rows)


def _trials(session: Session, where: ColumnElement[bool]) -> list[dict[str, Any]]:
    statement = (
        select(
            Trial.experiment_id,
            func.count().label("trials"),
            func.coalesce(func.sum(Trial.craft_seconds), 0.0).label("craft_seconds"),
            func.coalesce(func.max(Trial.linf_255), 0).label("linf_255"),
            func.coalesce(func.sum(Trial.mean_l2), 0.0).label("mean_l2"),
            func.coalesce(func.sum(Trial.ssim), 0.0).label("ssim"),
        )
        .where(where)
        .group_by(Trial.experiment_id)
    )
    return [dict(row) for row in session.execute(statement).mappings()]


def _outcomes(session: Session, where: ColumnElement[bool]) -> list[dict[str, Any]]:
    """Rows of outcome_sums, with the keys that follow from the experiments' specs."""
    rows = [dict(row) for row in session.execute(_counted(where)).mappings()]
    wanted = {row["experiment_id"] for row in rows}
    chosen = select(Experiment.id, Experiment.spec, Experiment.is_sequential)
    if len(wanted) == 1:
        chosen = chosen.where(Experiment.id.in_(wanted))
    found = {row.id: row for row in session.execute(chosen)}
    for row in rows:
        its = found[row["experiment_id"]]
        spec, row["is_sequential"] = its.spec, its.is_sequential
        row["board_key"] = places.board(spec, row["victim"])
        row["row_key"] = places.row(spec)
        row["column_key"] = places.column(spec, row["victim"])
    return rows


def _counted(where: ColumnElement[bool]) -> Any:
    earlier, its = aliased(Outcome), aliased(Experiment)
    is_repeat = (
        select(earlier.id)
        .join(its, its.id == earlier.experiment_id)
        .where(
            earlier.outcome_hash == Outcome.outcome_hash,
            earlier.id < Outcome.id,
            its.profile == Experiment.profile,
        )
        .exists()
        .label("is_repeat")
    )
    places_of = (Outcome.experiment_id, Outcome.victim, Outcome.access, is_repeat)
    return (
        select(
            *places_of,
            func.count().label("n"),
            func.sum(cast(Outcome.success, Integer)).label("successes"),
            func.sum(cast(Outcome.twin_success, Integer)).label("twins"),
            func.sum(case((and_(Outcome.success, Outcome.twin_success), 1), else_=0)).label("both"),
            func.sum(Outcome.clean_accuracy).label("clean"),
            func.sum(Outcome.twin_clean_accuracy).label("twin_clean"),
        )
        .join(Experiment, Experiment.id == Outcome.experiment_id)
        .where(where)
        .group_by(Outcome.experiment_id, Outcome.victim, Outcome.access, "is_repeat")
    )


def _merge(
    session: Session, table: type[TrialSum] | type[OutcomeSum], values: dict[str, Any], counts: Any
) -> None:
    """Insert the row, or add its counts to the one that stands there."""
    dialect = session.get_bind().dialect.name
    make: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[dialect]
    new = make(table).values(**values)
    changed: dict[str, Any] = {name: getattr(table, name) + new.excluded[name] for name in counts}
    if table is TrialSum:
        there, come = TrialSum.linf_255, new.excluded.linf_255
        changed["linf_255"] = case((there > come, there), else_=come)
    keys = [column.name for column in table.__table__.primary_key]
    session.execute(new.on_conflict_do_update(index_elements=keys, set_=changed))
