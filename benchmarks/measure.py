"""One comparison: two ways to the same result, timed in turns, and checked against each other."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Clock = Callable[[], float]  # seconds


@dataclass(frozen=True)
class Check:
    """Whether both sides did the same thing, and how that was seen."""

    holds: bool
    text: str


@dataclass(frozen=True)
class Case:
    """``plain`` and ``ours`` do so many units of the same work; what they return is compared."""

    name: str
    unit: str
    plain: Callable[[], Any]
    ours: Callable[[], Any]
    plain_units: float
    ours_units: float
    check: Callable[[Any, Any], Check]
    goal: float | None = None
    note: str = ""
    rounds: int | None = None  # None: as many as the suite's size says


@dataclass(frozen=True)
class Skipped:
    """A comparison that this machine cannot make."""

    name: str
    why: str
    goal: float | None = None


@dataclass(frozen=True)
class Row:
    """What came out. ``ratio``: how often faster ours is, per unit; median over the rounds."""

    name: str
    unit: str
    ratio: float
    lowest: float
    highest: float
    rounds: int
    plain_ms: float  # per unit, median
    ours_ms: float
    check: str
    holds: bool
    goal: float | None
    note: str

    @property
    def is_met(self) -> bool:
        return self.goal is None or self.ratio >= self.goal


def measure(case: Case, rounds: int, clock: Clock = time.process_time) -> Row:
    """A warm-up of each side, whose results are compared; then the rounds, each side first in
    every other one.
    """
    check = case.check(case.plain(), case.ours())
    plain, ours = [], []
    for number in range(case.rounds or rounds):
        turns = [(case.plain, case.plain_units, plain), (case.ours, case.ours_units, ours)]
        for function, units, times in turns if number % 2 == 0 else reversed(turns):
            started = clock()
            function()
            times.append((clock() - started) / units)
    ratios = [a / b for a, b in zip(plain, ours, strict=True)]
    return Row(
        name=case.name,
        unit=case.unit,
        ratio=statistics.median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
        rounds=len(ratios),
        plain_ms=1000 * statistics.median(plain),
        ours_ms=1000 * statistics.median(ours),
        check=check.text,
        holds=check.holds,
        goal=case.goal,
        note=case.note,
    )
