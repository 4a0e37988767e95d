"""Statistics of success rates. No torch in here; SciPy only for quantiles and exact tests."""

import math
from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True)
class Interval:
    """A two-sided interval, as fractions."""

    low: float
    high: float
    level: float = 0.95


def standard_error(successes: int, n: int) -> float:
    """The paper's error bar, as a fraction: sqrt(p(1-p)/n), but sqrt(0.25/n) near 0 and 1.

    "Near" is p <= 5/n or 1-p <= 5/n, the rule of the benchmark's published tables.
    Raises ValueError where n < 1 or successes are not within 0..n.
    """
    _check(successes, n)
    p = successes / n
    if successes <= 5 or n - successes <= 5:
        return math.sqrt(0.25 / n)
    return math.sqrt(p * (1 - p) / n)


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for a rate (Wilson 1927)."""
    _check(successes, n)
    z = float(stats.norm.ppf(0.5 + level / 2))
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(low, high, level)


def paired_excess(
    both: int, only_first: int, only_second: int, neither: int, level: float = 0.95
) -> tuple[float, Interval]:
    """Difference of two paired rates, first minus second, with Newcombe's interval.

    The four counts are of trials in which both succeed, only one, or none. Method 10 of
    Newcombe, Statistics in Medicine 17 (1998) 2635-2650: Wilson's limits of the two margins,
    joined with the (continuity-corrected) phi of the pairs.
    """  # fmt: skip
    n = both + only_first + only_second + neither
    a, b, c, d = both, only_first, only_second, neither
    _check(a + b, n)
    first, second = wilson(a + b, n, level), wilson(a + c, n, level)
    p1, p2 = (a + b) / n, (a + c) / n
    product = (a + b) * (c + d) * (a + c) * (b + d)
    cross: float = a * d - b * c
    if cross > 0:
        cross = max(cross - n / 2, 0.0)
    phi = cross / math.sqrt(product) if product else 0.0
    dl1, du1 = p1 - first.low, first.high - p1
    dl2, du2 = p2 - second.low, second.high - p2
    low = math.sqrt(max(0.0, dl1**2 - 2 * phi * dl1 * du2 + du2**2))
    high = math.sqrt(max(0.0, du1**2 - 2 * phi * du1 * dl2 + dl2**2))
    difference = p1 - p2
    return difference, Interval(max(-1.0, difference - low), min(1.0, difference + high), level)


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value of McNemar's test on the discordant pairs."""
    n = only_first + only_second
    if n == 0:
        return 1.0
    return float(stats.binomtest(only_first, n, 0.5).pvalue)


def _check(successes: int, n: int) -> None:
    if n < 1:
        raise ValueError(f"a rate needs at least one trial, not n = {n}")
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes do not fit into {n} trials")
