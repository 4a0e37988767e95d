"""Counts of outcomes, and the rates, intervals and differences that follow from them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Integer, case, cast, func, select
from sqlalchemy.orm import Session

from app.models import Experiment, Outcome
from app.schemas import Excess, Rate
from poisoning import stats


@dataclass(frozen=True)
class Tally:
    """Paired counts over trials: how often the victim, its twin, and both were fooled."""

    n: int
    successes: int
    twins: int
    both: int
    clean_sum: float
    twin_clean_sum: float

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.n + other.n,
            self.successes + other.successes,
            self.twins + other.twins,
            self.both + other.both,
            self.clean_sum + other.clean_sum,
            self.twin_clean_sum + other.twin_clean_sum,
        )

    @property
    def success(self) -> Rate:
        return rate(self.successes, self.n)

    @property
    def twin(self) -> Rate:
        return rate(self.twins, self.n)

    @property
    def excess(self) -> Excess:
        only_first, only_second = self.successes - self.both, self.twins - self.both
        neither = self.n - self.both - only_first - only_second
        value, interval = stats.paired_excess(self.both, only_first, only_second, neither)
        return Excess(value=value, low=interval.low, high=interval.high)

    @property
    def clean_accuracy(self) -> float:
        return self.clean_sum / self.n

    @property
    def twin_clean_accuracy(self) -> float:
        return self.twin_clean_sum / self.n


Key = tuple[int, int, str]  # experiment, victim, access


def rate(successes: int, n: int) -> Rate:
    interval = stats.wilson(successes, n)
    return Rate(
        successes=successes,
        n=n,
        rate=successes / n,
        standard_error=stats.standard_error(successes, n),
        low=interval.low,
        high=interval.high,
    )


def by_victim(session: Session, experiment_ids: Iterable[int] | None = None) -> dict[Key, Tally]:
    """Counts per experiment, victim and access: one scan of the covering index.

    None: of all experiments.
    """
    statement = select(Outcome.experiment_id, Outcome.victim, Outcome.access, *_counts())
    if experiment_ids is not None:
        statement = statement.where(Outcome.experiment_id.in_(list(experiment_ids)))
    grouped = statement.group_by(Outcome.experiment_id, Outcome.victim, Outcome.access)
    return {(row[0], row[1], row[2]): _tally(row[3:]) for row in session.execute(grouped)}


def counted_once(session: Session, experiment_ids: Sequence[int]) -> dict[Key, Tally]:
    """As ``by_victim``, but a trial that several of these experiments ran counts for the first.

    Boards keep profiles apart, so a trial counts once in each profile.
    """
    first = (
        select(func.min(Outcome.id))
        .join(Experiment, Experiment.id == Outcome.experiment_id)
        .where(Outcome.experiment_id.in_(experiment_ids))
        .group_by(Outcome.outcome_hash, Experiment.profile)
    )
    statement = (
        select(Outcome.experiment_id, Outcome.victim, Outcome.access, *_counts())
        .where(Outcome.id.in_(first))
        .group_by(Outcome.experiment_id, Outcome.victim, Outcome.access)
    )
    return {(row[0], row[1], row[2]): _tally(row[3:]) for row in session.execute(statement)}


def _counts() -> tuple[Any, ...]:
    both = case((Outcome.success & Outcome.twin_success, 1), else_=0)
    return (
        func.count(),
        func.sum(cast(Outcome.success, Integer)),
        func.sum(cast(Outcome.twin_success, Integer)),
        func.sum(both),
        func.sum(Outcome.clean_accuracy),
        func.sum(Outcome.twin_clean_accuracy),
    )


def _tally(row: Sequence[Any]) -> Tally:
    return Tally(int(row[0]), int(row[1]), int(row[2]), int(row[3]), float(row[4]), float(row[5]))
