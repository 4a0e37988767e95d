"""Rates on the same setups: differences, tests, and the ranks that follow from them."""

import math
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from scipy import special

from poisoning.stats.rates import Interval, check, wilson
from poisoning.stats.sequential import mcnemar_sequential


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
    check(a + b, n)
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
    # both tails are alike, and scipy.stats would take as long to import as a small job to run
    return min(1.0, 2 * float(special.bdtr(min(only_first, only_second), n, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, in the same order (Holm 1979).

    One is significant at alpha where its adjusted value is at most alpha; the chance of any
    false one among them is then at most alpha, however they depend on each other.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p_values[i]))
        adjusted[i] = largest
    return adjusted


Fallen = Mapping[Hashable, bool]  # by setup: whether the victim was fooled


@dataclass(frozen=True)
class PairTest:
    """Two attacks on the setups both have: in how many only one succeeded, and what that proves.

    ``p`` is exact McNemar's, or its sequential one where ``is_sequential``; ``adjusted`` is
    Holm's, guarding all pairs that were tested together.
    """

    first: str
    second: str
    shared: int
    only_first: int
    only_second: int
    p: float
    adjusted: float
    is_sequential: bool = False

    def better(self, alpha: float = 0.05) -> str | None:
        """The one that is significantly better, if either is."""
        if self.adjusted > alpha or self.only_first == self.only_second:
            return None
        return self.first if self.only_first > self.only_second else self.second


def pair_tests(outcomes: Mapping[str, Fallen], sequential: Collection[str] = ()) -> list[PairTest]:
    """Every pair of attacks, tested together, in the order of ``outcomes``.

    ``sequential`` names those that were looked at before their n was fixed: a pair with one of
    them is tested so that the p-value holds at every n.
    """
    named = [(a, b, a in sequential or b in sequential) for a, b in combinations(outcomes, 2)]
    counts = [_discordant(outcomes[a], outcomes[b]) for a, b, _ in named]
    p_values = [
        (mcnemar_sequential if is_sequential else mcnemar)(*discordant)
        for (*_, is_sequential), (_, *discordant) in zip(named, counts, strict=True)
    ]
    found = zip(named, counts, p_values, holm(p_values), strict=True)
    return [
        PairTest(first, second, *counted, p, adjusted, is_sequential)
        for (first, second, is_sequential), counted, p, adjusted in found
    ]


def ranks(outcomes: Mapping[str, Fallen], alpha: float = 0.05) -> dict[str, int]:
    """By attack: 1 + the number of attacks that are significantly better on the same setups.

    Attacks that the trials cannot tell apart share a rank, unless a third one parts them; which
    pairs were told apart, and how surely, say ``pair_tests``.
    """
    return ranked(outcomes, pair_tests(outcomes), alpha)


def ranked(
    attacks: Iterable[str], tests: Iterable[PairTest], alpha: float = 0.05
) -> dict[str, int]:
    """The ranks that follow from the tests of all pairs of the attacks."""
    found = dict.fromkeys(attacks, 1)
    for test in tests:
        better = test.better(alpha)
        if better is not None:
            found[test.second if better == test.first else test.first] += 1
    return found


def _discordant(one: Fallen, other: Fallen) -> tuple[int, int, int]:
    """Setups both have; those that fell to the first alone; those that fell to the second alone."""
    shared = one.keys() & other.keys()
    first = sum(one[setup] and not other[setup] for setup in shared)
    second = sum(other[setup] and not one[setup] for setup in shared)
    return len(shared), first, second


@dataclass(frozen=True)
class Difficulty:
    """How many attacks one setup fell to, of those that were tried on it."""

    setup: Hashable
    fell_to: int
    attacks: int


def difficulty(outcomes: Mapping[str, Fallen]) -> list[Difficulty]:
    """Every setup, the easiest first: what falls to every attack says little about any of them."""
    setups = dict.fromkeys(setup for fallen in outcomes.values() for setup in fallen)
    found = []
    for setup in setups:
        tried = [fallen[setup] for fallen in outcomes.values() if setup in fallen]
        found.append(Difficulty(setup, sum(tried), len(tried)))
    return sorted(found, key=lambda one: -one.fell_to / one.attacks)
