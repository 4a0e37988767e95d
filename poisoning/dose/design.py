"""Where to measure next, and what a dose is to be counted in. No torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from poisoning.dose.curve import Curve, Points, likeliest

RATIO = 8.0  # of likelihoods: from here on evidence is called fairly strong (Royall 1997)
SPREAD = math.log(3)  # a logit: a quarter, and three quarters


def next_dose(
    doses: Sequence[float], results: Mapping[float, tuple[int, int]], floor: float = 0.0
) -> float:
    """Which of ``doses`` to measure next; ``results`` are (successes, trials) so far, by dose.

    While all doses measured are on one side of the half between the floor and 1: the middle of
    what is left on the other side, or the last dose there. From then on, of the two doses whose
    fitted rates are nearest to a quarter and to three quarters of the way from the floor to 1,
    one on either side of ED50, the one with fewer trials: near the half they tell most about
    ED50, and apart from each other about the slope. Raises ValueError without doses.
    """
    ladder = sorted(set(doses))
    if not ladder:
        raise ValueError("name the doses to choose from")
    half = (1 + floor) / 2
    measured = {dose: k / n for dose, (k, n) in results.items() if n}
    too_low = [dose for dose, rate in measured.items() if rate < half]
    too_high = [dose for dose, rate in measured.items() if rate >= half]
    if not too_low or not too_high:
        left = [d for d in ladder if all(d > low for low in too_low)]
        left = [d for d in left if all(d < high for high in too_high)]
        if left:
            return left[len(left) // 2]
        return ladder[-1] if too_low else ladder[0]
    return _around_the_half(ladder, results, floor)


def _around_the_half(
    ladder: Sequence[float], results: Mapping[float, tuple[int, int]], floor: float
) -> float:
    known = [(dose, k, n) for dose, (k, n) in results.items() if n]
    tried, successes, trials = zip(*known, strict=True)
    midpoint, slope, _ = likeliest(Points.of(tried, successes, trials, floor))
    sides = []
    for is_above, logit in ((False, -SPREAD), (True, SPREAD)):
        side = [dose for dose in ladder if (math.log(dose) > midpoint) == is_above]
        aim = midpoint + logit / slope
        sides.extend(sorted(side, key=lambda dose: abs(math.log(dose) - aim))[:1])
    return min(sides, key=lambda dose: results.get(dose, (0, 0))[1])


@dataclass(frozen=True)
class Unit:
    """What the dose is to be counted in, and the evidence: log likelihoods of one curve for all."""

    name: Literal["count", "fraction", "cannot tell"]
    by_count: float
    by_fraction: float


def better_unit(curves: Mapping[int, Curve]) -> Unit:
    """Whether the number of poisons or their share of the training set says more.

    ``curves`` by training set size, fitted to numbers of poisons. All points are fitted by one
    curve, in either unit; both have two parameters, so that their likelihoods compare as they
    are. Called only where one is 8 times as likely as the other (Royall, Statistical Evidence,
    1997). Raises ValueError for fewer than two sizes.
    """
    if len(curves) < 2:
        raise ValueError("telling counts from fractions needs two training set sizes")
    parts = [curve.points for curve in curves.values()]
    sizes = np.concatenate(
        [np.full(len(part.doses), size) for size, part in zip(curves, parts, strict=True)]
    )
    columns = ("doses", "successes", "trials", "floors")
    merged = Points(*(np.concatenate([getattr(p, name) for p in parts]) for name in columns))
    _, _, count = likeliest(merged)
    _, _, fraction = likeliest(replace(merged, doses=merged.doses / sizes))
    name: Literal["count", "fraction", "cannot tell"] = "cannot tell"
    if abs(count - fraction) >= math.log(RATIO):
        name = "count" if count > fraction else "fraction"
    return Unit(name, count, fraction)
