"""One rate: its error as published, its interval, and how many trials a narrow one needs."""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from scipy import special

MARK = "*"
SEQUENCE_NOTE = f"{MARK} confidence sequence: valid however often one looked"


@dataclass(frozen=True)
class Interval:
    """A two-sided interval, as fractions; ``is_sequential``: valid however often one looked."""

    low: float
    high: float
    level: float = 0.95
    is_sequential: bool = False

    def in_words(self, sign: str = "") -> str:
        """ "[62.1, 96.8]", in per cent; a confidence sequence is marked, SEQUENCE_NOTE says why."""
        mark = MARK if self.is_sequential else ""
        return f"[{100 * self.low:{sign}.1f}, {100 * self.high:{sign}.1f}]{mark}"


def standard_error(successes: float, n: int) -> float:
    """The paper's error bar, as a fraction: sqrt(p(1-p)/n), but sqrt(0.25/n) near 0 and 1.

    "Near" is p <= 5/n or 1-p <= 5/n, the rule of the benchmark's published tables.
    Raises ValueError where n < 1 or successes are not within 0..n.
    """
    check(successes, n)
    p = successes / n
    if successes <= 5 or n - successes <= 5:
        return math.sqrt(0.25 / n)
    return math.sqrt(p * (1 - p) / n)


def wilson(successes: float, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for a rate (Wilson 1927).

    A count may be broken: that of a published mean of several rates is.
    """
    check(successes, n)
    z = quantile(level)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(low, high, level)


@cache
def quantile(level: float) -> float:
    """The normal quantile of a two-sided level; asked for thousands of times by one page."""
    return float(special.ndtri(0.5 + level / 2))


def trials_for_width(rate: float, width: float, level: float = 0.95) -> int:
    """The fewest trials at which Wilson's interval of ``rate`` is at most ``width`` wide.

    Raises ValueError where the width is not within (0, 1).
    """
    if not 0 < width < 1:
        raise ValueError(f"a width is between 0 and 1, not {width}")
    return first_that(lambda n: _width(rate, n, level) <= width)


def _width(rate: float, n: int, level: float) -> float:
    interval = wilson(rate * n, n, level)
    return interval.high - interval.low


def first_that(holds: Callable[[int], bool]) -> int:
    """The smallest n >= 1 for which ``holds``, where it holds for all larger ones too."""
    high = 1
    while not holds(high):
        high *= 2
    return bisect_left(range(high + 1), True, lo=high // 2 + 1, key=holds)


def check(successes: float, n: int) -> None:
    """Raises ValueError for counts that are no rate."""
    if n < 1:
        raise ValueError(f"a rate needs at least one trial, not n = {n}")
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes do not fit into {n} trials")
