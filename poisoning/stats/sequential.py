"""Looking at a rate while it is still being measured, as often as one likes.

A fixed-n interval that is looked at after every trial misses the truth far more often than it
says. A confidence sequence does not: the chance that it ever excludes the true rate, over all n
together, is at most 1 - level, so that one may stop whenever it is narrow enough.
"""

import math
from collections.abc import Callable, Sequence

from scipy import optimize, special

from poisoning.stats.rates import Interval, check

PRIOR = 0.5  # Jeffreys'; any other is as valid, and only moves where the sequence is tightest


def confidence_sequence(successes: float, n: int, level: float = 0.95) -> Interval:
    """The interval after ``n`` trials, valid at every n at once.

    All p at which the beta-binomial mixture martingale, with a Beta(1/2, 1/2) prior,
    B(a + S, b + n - S) / (B(a, b) p^S (1 - p)^(n - S)), is below 1 / (1 - level): by Ville's
    inequality it ever reaches that with probability 1 - level at most (Robbins, Annals of
    Mathematical Statistics 41 (1970) 1397-1409).

    A count may be broken, as that of a mean over several victims: for values within [0, 1] that
    are not all 0 or 1, the martingale is a supermartingale, and the interval holds as well.
    """
    check(successes, n)
    failures = n - successes
    mixture = special.betaln(PRIOR + successes, PRIOR + failures) - special.betaln(PRIOR, PRIOR)
    limit = mixture + math.log(1 - level)

    def excess(p: float) -> float:  # positive where p is still believed
        return float(special.xlogy(successes, p) + special.xlog1py(failures, -p) - limit)

    likeliest = successes / n
    low = 0.0 if successes == 0 else _root(excess, 0.0, likeliest)
    high = 1.0 if failures == 0 else _root(excess, likeliest, 1.0)
    return Interval(low, high, level, is_sequential=True)


def running(outcomes: Sequence[bool], level: float = 0.95) -> list[Interval]:
    """The interval after every trial, as narrow as any before it allows: each is the part that
    all so far have in common.

    Just as valid, since all of them hold at once. One whose low is above its high is empty: the
    outcomes contradict any one rate, as they do by chance with probability 1 - level at most.
    """
    found, successes, low, high = [], 0, 0.0, 1.0
    for n, success in enumerate(outcomes, start=1):
        successes += bool(success)
        alone = confidence_sequence(successes, n, level)
        low, high = max(low, alone.low), min(high, alone.high)
        found.append(Interval(low, high, level, is_sequential=True))
    return found


def stops_at(outcomes: Sequence[bool], width: float, level: float = 0.95) -> int | None:
    """After how many of these trials, in their order, measuring might have stopped; None if never.

    By the running interval: the first that is at most ``width`` wide.
    """
    intervals = enumerate(running(outcomes, level), start=1)
    return next((n for n, one in intervals if one.high - one.low <= width), None)


def _root(excess: Callable[[float], float], low: float, high: float) -> float:
    tiny = 1e-12
    return float(optimize.brentq(excess, low + tiny * (low == 0), high - tiny * (high == 1)))


def is_narrow_enough(successes: float, n: int, width: float, level: float = 0.95) -> bool:
    """Whether measuring may stop now: the confidence sequence is at most ``width`` wide."""
    interval = confidence_sequence(successes, n, level)
    return interval.high - interval.low <= width


def excess_sequence(
    gained: float, lost: float, n: int, level: float = 0.95
) -> tuple[float, Interval]:
    """The difference of two paired rates after ``n`` trials, with a confidence sequence.

    ``gained`` sums over the trials by how much the first was above the second where it was, and
    ``lost`` by how much it was below: of single victims, the counts of trials in which only one
    of the two succeeded. Each has its own sequence with half the error, so that by Bonferroni both
    hold at every n at once, and with them their difference.
    """
    half = (1 + level) / 2
    up, down = confidence_sequence(gained, n, half), confidence_sequence(lost, n, half)
    interval = Interval(up.low - down.high, up.high - down.low, level, is_sequential=True)
    return (gained - lost) / n, interval


def mcnemar_sequential(only_first: int, only_second: int) -> float:
    """McNemar's p-value of discordant pairs, valid however often one looks.

    One over the mixture martingale at one half: were both equally likely to win a pair, it would
    ever be at most p with probability p at most.
    """
    n = only_first + only_second
    mixture = special.betaln(PRIOR + only_first, PRIOR + only_second)
    mixture -= special.betaln(PRIOR, PRIOR)
    return min(1.0, math.exp(-float(mixture) - n * math.log(2)))
