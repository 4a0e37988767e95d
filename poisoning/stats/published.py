"""A measured rate beside a published one: their difference, and what can be said of it.

The verdict is one of three, by the interval of the difference (measured minus published):

- ``agrees``: the whole interval lies within +-10 points;
- ``differs``: the interval excludes 0, and the difference is larger than 10 points;
- ``cannot tell``: everything else, with the number of trials that could, if any.
"""

import math
from dataclasses import dataclass
from typing import Literal

from poisoning.stats.rates import Interval, first_that, wilson
from poisoning.stats.sequential import confidence_sequence

Verdict = Literal["agrees", "differs", "cannot tell"]
MARGIN = 0.10  # what counts as the same rate
MOST_TRIALS = 10_000  # of one experiment


@dataclass(frozen=True)
class Estimate:
    """A rate, its interval, and the number of setups it rests on; fractions."""

    rate: float
    interval: Interval
    n: int


@dataclass(frozen=True)
class Comparison:
    """``needed``: with how many trials of our own the verdict would be clear, were the rates what
    they seem; None where it is clear already, or no number of ours could make it so.

    ``per_side``: with how many trials of our own and as many published ones the interval would be
    20 points wide, +-10, were the rates what they seem; None where the verdict is clear.
    """

    difference: float
    interval: Interval
    verdict: Verdict
    needed: int | None
    per_side: int | None
    words: str


def estimate(
    successes: float, n: int, level: float = 0.95, is_sequential: bool = False
) -> Estimate:
    """A rate with Wilson's interval, or with a confidence sequence."""
    interval_of = confidence_sequence if is_sequential else wilson
    return Estimate(successes / n, interval_of(successes, n, level), n)


def difference(first: Estimate, second: Estimate) -> tuple[float, Interval]:
    """Of two independent rates, first minus second, with the interval that follows from theirs.

    With Wilson's intervals it is method 10 of Newcombe, Statistics in Medicine 17 (1998)
    873-890; for others see Zou and Donner, Statistics in Medicine 27 (2008) 1693-1702.
    """
    p1, p2, one, two = first.rate, second.rate, first.interval, second.interval
    low = math.hypot(p1 - one.low, two.high - p2)
    high = math.hypot(one.high - p1, p2 - two.low)
    gap, is_sequential = p1 - p2, one.is_sequential or two.is_sequential
    return gap, Interval(max(-1.0, gap - low), min(1.0, gap + high), one.level, is_sequential)


def compare(measured: Estimate, published: Estimate) -> Comparison:
    """The difference to a published rate, in numbers and in words."""
    gap, interval = difference(measured, published)
    verdict = _verdict(gap, interval)
    is_open = verdict == "cannot tell"
    needed = _needed(measured, published) if is_open else None
    per_side = _per_side(measured, published) if is_open else None
    points = f"{100 * gap:+.1f} points [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"
    if not is_open:
        words = f"{verdict}: {points}"
    elif needed is None:
        words = f"cannot tell, whatever our n: the published one has only {published.n}; {points}"
    else:
        words = f"cannot tell at n = {measured.n}; {needed} trials could; {points}"
    return Comparison(gap, interval, verdict, needed, per_side, words)


def _verdict(gap: float, interval: Interval) -> Verdict:
    if interval.low >= -MARGIN and interval.high <= MARGIN:
        return "agrees"
    excludes_nought = interval.low > 0 or interval.high < 0
    return "differs" if excludes_nought and abs(gap) > MARGIN else "cannot tell"


def _needed(measured: Estimate, published: Estimate) -> int | None:
    """Were the measured rate to stay what it is; more trials only narrow the interval."""

    def is_clear(n: int) -> bool:
        its = measured.interval
        imagined = estimate(measured.rate * n, n, its.level, its.is_sequential)
        return _verdict(*difference(imagined, published)) != "cannot tell"

    return first_that(is_clear) if is_clear(MOST_TRIALS) else None


def _per_side(measured: Estimate, published: Estimate) -> int:
    level = measured.interval.level

    def is_narrow(n: int) -> bool:
        first, second = (
            estimate(one.rate * n, n, level, one.interval.is_sequential)
            for one in (measured, published)
        )
        _, interval = difference(first, second)
        return interval.high - interval.low <= 2 * MARGIN

    return first_that(is_narrow)
