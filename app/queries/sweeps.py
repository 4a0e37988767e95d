"""Sweeps: the list, one of them with its curves, and those that are due to go on."""

import math
from collections.abc import Sequence

import numpy as np
from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from app import paging
from app.errors import Invalid, NotFound
from app.models import Experiment, Sweep
from app.queries import experiments, tallies, titles
from app.queries.tallies import Tally
from app.schemas import ExperimentSummary, Page
from app.sweep_schemas import (
    CurvePoint,
    Ed50,
    SweepBeside,
    SweepDetail,
    SweepPoint,
    SweepSummary,
    SweepUnit,
    SweepVictim,
)
from poisoning import dose
from poisoning.dose import DoseField, Measured, words
from poisoning.spec import canonical_json

LIST = "sweeps"
DRAWN_AT = 61  # doses of a drawn curve
MARGIN = 1.25  # the factor by which it is drawn beyond the doses measured
OPEN = ("queued", "waiting", "running")


def page(
    session: Session, cursor: str | None = None, limit: int = paging.DEFAULT_LIMIT
) -> Page[SweepSummary]:
    """Newest first."""
    before = paging.decode(LIST, {}, cursor)
    statement = select(Sweep).order_by(Sweep.id.desc()).limit(limit + 1)
    if before is not None:
        statement = statement.where(Sweep.id < before)
    return paging.cut(
        session.scalars(statement).all(),
        limit,
        lambda row: paging.encode(LIST, {}, row.id),
        lambda shown: _summaries(session, shown),
    )


def find(session: Session, sweep_id: int) -> Sweep:
    row = session.get(Sweep, sweep_id) if 0 < sweep_id < 2**31 else None
    if row is None:
        raise NotFound(f"there is no sweep {sweep_id}")
    return row


def due(session: Session) -> list[int]:
    """Adaptive sweeps whose next experiment may be launched: all are done, trials are left."""
    unfinished = func.sum(case((Experiment.state != "done", 1), else_=0))
    statement = (
        select(Sweep.id)
        .join(Experiment, Experiment.sweep_id == Sweep.id)
        .where(Sweep.design == "adaptive", Sweep.cancelled_at.is_(None), Sweep.error.is_(None))
        .group_by(Sweep.id, Sweep.budget)
        .having(unfinished == 0, func.sum(Experiment.trials_total) < Sweep.budget)
        .order_by(Sweep.id)
    )
    return list(session.scalars(statement))


def rungs(session: Session, sweep_ids: Sequence[int]) -> list[Experiment]:
    """The experiments of these sweeps, in the order they were launched."""
    statement = select(Experiment).where(Experiment.sweep_id.in_(sweep_ids))
    return list(session.scalars(statement.order_by(Experiment.id)))


def get(session: Session, sweep_id: int) -> SweepDetail:
    """One sweep whole; NotFound where there is none."""
    row = find(session, sweep_id)
    its = rungs(session, [row.id])
    summaries = experiments.summaries(session, its)
    [summary] = _summaries(session, [row])
    return SweepDetail(
        **summary.model_dump(),
        spec=row.spec,
        notes=row.notes,
        is_cancelled=row.cancelled_at is not None,
        error=row.error,
        victims=_victims(session, row, its, summaries),
        rungs=summaries,
        beside=_beside(session, row),
    )


# --- points and curves ------------------------------------------------------------------------


def field_of(row: Sweep) -> DoseField:
    found: DoseField = row.field  # type: ignore[assignment]  # written from a SweepRequest
    return found


def value_of(row: Sweep, experiment: Experiment) -> float:
    part, name = row.field.split(".")
    return float(experiment.spec[part][name])


def dose_of(row: Sweep, value: float) -> float:
    """The dose at a value: of training set sizes the poisoned share."""
    is_size = row.field == "data.train_size"
    return float(row.spec["data"]["poisons"]) / value if is_size else value


def measured(session: Session, row: Sweep, victim: int = 0) -> tuple[Measured, ...]:
    """What one victim's trials came to, by rising dose; experiments at one dose added up."""
    its = rungs(session, [row.id])
    counts = tallies.by_victim(session, [experiment.id for experiment in its])
    return _measured(_points(row, _by_value(row, its, counts), victim))


Found = dict[float, list[tuple[int, int, Tally]]]  # value -> experiment, victim, counts


def _by_value(row: Sweep, its: Sequence[Experiment], counts: dict[tallies.Key, Tally]) -> Found:
    values = {experiment.id: value_of(row, experiment) for experiment in its}
    found: Found = {}
    for (experiment_id, victim, _), tally in counts.items():
        if experiment_id in values:
            found.setdefault(values[experiment_id], []).append((experiment_id, victim, tally))
    return found


def _measured(points: Sequence[SweepPoint]) -> tuple[Measured, ...]:
    return tuple(
        Measured(at.dose, at.success.n, at.success.successes, at.twin.successes) for at in points
    )


def _victims(
    session: Session,
    row: Sweep,
    its: Sequence[Experiment],
    summaries: Sequence[ExperimentSummary],
) -> list[SweepVictim]:
    found = _by_value(row, its, tallies.by_victim(session, [e.id for e in its]))
    made = []
    for victim in summaries[0].victims if summaries else []:
        points = _points(row, found, victim.victim)
        judged = _measured(points)
        curve = dose.curve_through(judged)
        known = [v.access for s in summaries for v in s.victims if v.victim == victim.victim]
        made.append(
            SweepVictim(
                victim=victim.victim,
                title=victim.title,
                label=victim.label,
                access=next((access for access in known if access), None),
                answer=words.summary(field_of(row), judged),
                points=points,
                floor=dose.floor_of(judged),
                slope=curve.slope if curve else None,
                ed50=_ed50(curve) if curve else None,
                curve=_drawn(curve) if curve else [],
            )
        )
    return made


def _points(row: Sweep, found: Found, victim: int) -> list[SweepPoint]:
    made = []
    for value, counted in found.items():
        its = [(i, tally) for i, number, tally in counted if number == victim]
        if not its:
            continue
        whole = sum((tally for _, tally in its[1:]), start=its[0][1])
        made.append(
            SweepPoint(
                dose=dose_of(row, value),
                value=value,
                success=whole.success,
                twin=whole.twin,
                experiment_ids=sorted({i for i, _ in its}),
            )
        )
    return sorted(made, key=lambda point: point.dose)


def _ed50(curve: dose.Curve) -> Ed50:
    found = curve.ed50
    low, high = found.interval.low, found.interval.high
    return Ed50(
        dose=found.dose if isinstance(found, dose.Reached) else None,
        low=low if low > 0 else None,
        high=high if high < math.inf else None,
        direction="within" if isinstance(found, dose.Reached) else found.direction,
    )


def _drawn(curve: dose.Curve) -> list[CurvePoint]:
    """The curve and its band over the doses measured and a little beyond."""
    low, high = curve.points.doses.min() / MARGIN, curve.points.doses.max() * MARGIN
    doses = [float(at) for at in np.geomspace(low, high, DRAWN_AT)]
    return [
        CurvePoint(dose=at, rate=curve.rate(at), low=band.low, high=band.high)
        for at, band in zip(doses, dose.band(curve, doses), strict=True)
    ]


# --- rows of the list -------------------------------------------------------------------------


def _summaries(session: Session, rows: Sequence[Sweep]) -> list[SweepSummary]:
    every = rungs(session, [row.id for row in rows])
    ids = [experiment.id for experiment in every]
    counts, done = tallies.by_victim(session, ids), experiments.trials_done(session, ids)
    made = []
    for row in rows:
        its = [experiment for experiment in every if experiment.sweep_id == row.id]
        judged = _measured(_points(row, _by_value(row, its, counts), victim=0))
        planned = sum(experiment.trials_total for experiment in its)
        state = _state(row, its, planned)
        made.append(
            SweepSummary(
                id=row.id,
                title=row.title,
                state=state,
                field=field_of(row),
                design=row.design,
                values=row.ladder,
                budget=row.budget,
                attack=row.spec["attack"]["name"],
                attack_title=titles.attack(row.spec["attack"]["name"]),
                dataset_title=titles.dataset(row.spec["data"]["dataset"]),
                profile=row.spec["profile"],
                tags=row.tags,
                answer=_answer(row, state, judged),
                trials_total=max(planned, row.budget or 0),
                trials_done=sum(done.get(experiment.id, 0) for experiment in its),
                experiments=len(its),
                created_at=row.created_at,
            )
        )
    return made


def _answer(row: Sweep, state: str, judged: Sequence[Measured]) -> str:
    said = words.summary(field_of(row), judged)
    return f"So far: {said[0].lower()}{said[1:]}" if judged and state in OPEN else said


def _state(row: Sweep, its: Sequence[Experiment], planned: int) -> str:
    """Under way while an experiment is, or while another one follows; then the worst end."""
    states = {experiment.state for experiment in its}
    if states & set(OPEN):
        if "running" in states or "done" in states:
            return "running"
        return "waiting" if "waiting" in states else "queued"
    if row.cancelled_at or "cancelled" in states:
        return "cancelled"
    if row.error or "failed" in states:
        return "failed"
    return "running" if row.budget and planned < row.budget else "done"


# --- laid over one another --------------------------------------------------------------------


def _likeness(row: Sweep) -> str:
    """Equal for sweeps of poisons that differ in the size of the training set alone."""
    data = {k: v for k, v in row.spec["data"].items() if k not in ("train_size", "poisons")}
    free = ("data", "trials", "seed")
    rest = {name: value for name, value in row.spec.items() if name not in free}
    return canonical_json([rest, data])


def _beside(session: Session, row: Sweep) -> list[SweepBeside]:
    if row.field != "data.poisons":
        return []
    others = session.scalars(
        select(Sweep).where(Sweep.field == row.field, Sweep.id != row.id).order_by(Sweep.id)
    )
    size, likeness = row.spec["data"]["train_size"], _likeness(row)
    return [
        SweepBeside(id=other.id, title=other.title, train_size=other.spec["data"]["train_size"])
        for other in others
        if other.spec["data"]["train_size"] != size and _likeness(other) == likeness
    ]


def laid_over(session: Session, sweep_id: int, others: Sequence[int]) -> list[SweepDetail]:
    """A sweep, which says what the unit is, and those laid over it.

    Invalid for one that differs in more than the size of its training set.
    """
    first = get(session, sweep_id)
    allowed = {other.id for other in first.beside}
    wanted = list(dict.fromkeys(i for i in others if i != sweep_id))
    for other in wanted:
        if other not in allowed:
            known = ", ".join(map(str, sorted(allowed)))
            raise Invalid.field(
                "with",
                f"sweep {other} does not differ from sweep {sweep_id} in its training set size "
                "alone, or does not count poisons",
                f"one of: {known}" if known else "sweep poisons on another training set size",
            )
    found = [first, *(get(session, other) for other in wanted)]
    first.unit = _unit(found)
    return found


def _unit(sweeps: Sequence[SweepDetail]) -> SweepUnit | None:
    """What poisons are better counted in, by the first victim; None without two curves."""
    curves = {
        int(item.spec["data"]["train_size"]): curve
        for item in sweeps
        if (curve := dose.curve_through(_measured(item.victims[0].points))) is not None
    }
    if len(curves) < 2:
        return None
    found = dose.better_unit(curves)
    return SweepUnit(
        name=found.name,
        by_count=found.by_count,
        by_fraction=found.by_fraction,
        sentence=words.unit_in_words(found),
    )
