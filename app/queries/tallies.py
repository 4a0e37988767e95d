"""Counts of outcomes, and the rates, intervals and differences that follow from them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Integer, cast, func, select
from sqlalchemy.orm import Session

from app.models import Experiment, OutcomeSum
from app.schemas import Excess, Rate
from poisoning import stats

KEPT = 20_000  # rates and differences; each takes about half a kilobyte


@dataclass(frozen=True)
class Tally:
    """Paired counts over trials: how often the victim, its twin, and both were fooled.

    Sequential where any of what was added up was looked at before its n was fixed.
    """

    n: int
    successes: int
    twins: int
    both: int
    clean_sum: float
    twin_clean_sum: float
    is_sequential: bool = False

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.n + other.n,
            self.successes + other.successes,
            self.twins + other.twins,
            self.both + other.both,
            self.clean_sum + other.clean_sum,
            self.twin_clean_sum + other.twin_clean_sum,
            self.is_sequential or other.is_sequential,
        )

    @property
    def success(self) -> Rate:
        return rate(self.successes, self.n, self.is_sequential)

    @property
    def twin(self) -> Rate:
        return rate(self.twins, self.n, self.is_sequential)

    @property
    def excess(self) -> Excess:
        return excess(self.n, self.successes, self.twins, self.both, self.is_sequential)

    @property
    def clean_accuracy(self) -> float:
        return self.clean_sum / self.n

    @property
    def twin_clean_accuracy(self) -> float:
        return self.twin_clean_sum / self.n


def of_specs(session: Session, hashes: Iterable[str]) -> dict[tuple[str, int], tuple[int, int]]:
    """(successes, trials) by spec_hash and victim, over all experiments that ran the spec; a trial
    that several ran counts once.
    """
    rows = session.execute(
        select(
            Experiment.spec_hash,
            OutcomeSum.victim,
            func.sum(OutcomeSum.successes),
            func.sum(OutcomeSum.n),
        )
        .join(OutcomeSum, OutcomeSum.experiment_id == Experiment.id)
        .where(Experiment.spec_hash.in_(list(hashes)), OutcomeSum.is_repeat.is_(False))
        .group_by(Experiment.spec_hash, OutcomeSum.victim)
    )
    return {(spec, victim): (int(successes), int(n)) for spec, victim, successes, n in rows if n}


Key = tuple[int, int, str]  # experiment, victim, access


# Pages show thousands of rates of few different counts. What follows from counts alone, and is
# never written to, is made once.
@lru_cache(maxsize=KEPT)
def rate(successes: int, n: int, is_sequential: bool = False) -> Rate:
    interval = (stats.confidence_sequence if is_sequential else stats.wilson)(successes, n)
    return Rate(
        successes=successes,
        n=n,
        rate=successes / n,
        standard_error=stats.standard_error(successes, n),
        low=interval.low,
        high=interval.high,
        interval="confidence_sequence" if is_sequential else "wilson",
    )


@lru_cache(maxsize=KEPT)
def excess(n: int, successes: int, twins: int, both: int, is_sequential: bool = False) -> Excess:
    """Of paired counts: trials, the victim's successes, its twin's, and those of both."""
    only_first, only_second = successes - both, twins - both
    if is_sequential:
        value, interval = stats.excess_sequence(only_first, only_second, n)
        return Excess(
            value=value, low=interval.low, high=interval.high, interval="confidence_sequence"
        )
    neither = n - both - only_first - only_second
    value, interval = stats.paired_excess(both, only_first, only_second, neither)
    return Excess(value=value, low=interval.low, high=interval.high)


def by_victim(session: Session, experiment_ids: Iterable[int]) -> dict[Key, Tally]:
    """Counts per experiment, victim and access, its repeats of earlier trials included."""
    grouped = (
        select(OutcomeSum.experiment_id, OutcomeSum.victim, OutcomeSum.access, *added())
        .where(OutcomeSum.experiment_id.in_(list(experiment_ids)))
        .group_by(OutcomeSum.experiment_id, OutcomeSum.victim, OutcomeSum.access)
    )
    return {(row[0], row[1], row[2]): of(row[3:]) for row in session.execute(grouped)}


def added() -> tuple[Any, ...]:
    """The columns that ``of`` reads, for a statement that groups outcome_sums."""
    columns = (
        OutcomeSum.n,
        OutcomeSum.successes,
        OutcomeSum.twins,
        OutcomeSum.both,
        OutcomeSum.clean,
        OutcomeSum.twin_clean,
    )
    is_any = func.max(cast(OutcomeSum.is_sequential, Integer))
    return (*(func.sum(column) for column in columns), is_any)


def of(row: Sequence[Any]) -> Tally:
    n, successes, twins, both = map(int, row[:4])
    return Tally(n, successes, twins, both, float(row[4]), float(row[5]), bool(row[6]))
