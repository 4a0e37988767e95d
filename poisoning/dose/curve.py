"""The curve through rates measured at several doses, and ED50 with its interval. No torch.

A logistic curve in the logarithm of the dose, from the floor, which is the twins' rate (what falls
without any poison), up to 1:

    p(d) = floor + (1 - floor) / (1 + exp(-slope (log d - log ED50)))

so that at ED50 half of those setups fall that would not fall anyway (Abbott, Journal of Economic
Entomology 18 (1925) 265-267; Finney, Probit Analysis, 1971). The floor is taken as known. Rates
rise with the dose, if at all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy import optimize, special, stats

from poisoning.stats import Interval
from poisoning.stats.rates import check

# Slopes allowed. The steepest goes from 10 to 90 % within a factor of 1.25 in dose: steeper ones
# are not told apart by any sweep, and would leave the likelihood without a maximum.
FLATTEST, STEEPEST = 1e-6, 20.0
FAR = 30.0  # a logit as good as infinite


@dataclass(frozen=True)
class Points:
    """Measured rates by dose, one array element each; floors may differ between them."""

    doses: np.ndarray
    successes: np.ndarray
    trials: np.ndarray
    floors: np.ndarray

    @classmethod
    def of(
        cls,
        doses: Sequence[float],
        successes: Sequence[int],
        trials: Sequence[int],
        floor: float = 0.0,
    ) -> "Points":
        """Raises ValueError for counts that are no rates, fewer than two different doses, doses
        not above 0, or a floor that is not in [0, 1)."""
        if len({len(doses), len(successes), len(trials)}) != 1:
            raise ValueError("doses, successes and trials must be equally many")
        if len(set(doses)) < 2 or min(doses) <= 0:
            raise ValueError("a curve needs two different doses, all above 0")
        if not 0 <= floor < 1:
            raise ValueError(f"the floor is a rate below 1, not {floor}")
        for k, n in zip(successes, trials, strict=True):
            check(k, n)
        columns = (doses, successes, trials, [floor] * len(doses))
        return cls(*(np.asarray(column, dtype=float) for column in columns))

    def log_likelihood(self, logits: np.ndarray | float) -> float:
        """Of the rates floor + (1 - floor) expit(logits), up to the binomial coefficients."""
        log_p, log_q = self._logs(logits)
        return float(np.sum(self.successes * log_p + (self.trials - self.successes) * log_q))

    def score(self, logits: np.ndarray) -> np.ndarray:
        """Derivative of the log likelihood by every point's logit."""
        log_p, _ = self._logs(logits)
        log_density = special.log_expit(logits) + special.log_expit(-logits)
        gain = np.exp(self._log_range + log_density - log_p)
        return self.successes * gain - (self.trials - self.successes) * special.expit(logits)

    def best(self, midpoint: float) -> float:
        """The largest log likelihood of a curve with this log ED50: its profile."""
        distance = np.log(self.doses) - midpoint

        def loss(log_slope: float) -> float:
            return -self.log_likelihood(math.exp(log_slope) * distance)

        bounds = math.log(FLATTEST), math.log(STEEPEST)
        return -float(optimize.minimize_scalar(loss, bounds=bounds, method="bounded").fun)

    def best_out_of_sight(self, side: int) -> float:
        """What the profile tends to where ED50 goes to nought (-1) or to infinity (1).

        The curve is flat there: a constant in the upper, or in the lower half of its range.
        """
        bounds = (-FAR, 0.0) if side == 1 else (0.0, FAR)
        found = optimize.minimize_scalar(
            lambda logit: -self.log_likelihood(logit), bounds=bounds, method="bounded"
        )
        return -float(found.fun)

    def _logs(self, logits: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """log p and log (1 - p), exact in both tails."""
        rising = self._log_range + special.log_expit(logits)
        falling = self._log_range + special.log_expit(np.negative(logits))
        return np.logaddexp(self._log_floors, rising), falling

    @cached_property
    def _log_range(self) -> np.ndarray:
        return np.log1p(-self.floors)

    @cached_property
    def _log_floors(self) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(self.floors)


@dataclass(frozen=True)
class Reached:
    """ED50 within the doses measured."""

    dose: float
    interval: Interval  # in doses; 0 or infinity where the data set no limit on that side


@dataclass(frozen=True)
class NotReached:
    """The curve crosses its half outside the doses measured; only a limit can be given."""

    direction: Literal["below the lowest dose", "above the highest dose"]
    edge: float  # the dose in question
    interval: Interval


@dataclass(frozen=True)
class Curve:
    """A fitted curve, with the points it was fitted to."""

    points: Points
    midpoint: float  # log ED50
    slope: float
    floor: float
    log_likelihood: float
    ed50: Reached | NotReached

    def rate(self, dose: float) -> float:
        """The rate it predicts."""
        logit = self.slope * (math.log(dose) - self.midpoint)
        return self.floor + (1 - self.floor) * float(special.expit(logit))


def fit(
    doses: Sequence[float],
    successes: Sequence[int],
    trials: Sequence[int],
    floor: float = 0.0,
    level: float = 0.95,
) -> Curve:
    """The curve of the largest likelihood, with the profile likelihood's interval of ED50.

    Rates are taken to rise with the dose, if at all. Raises ValueError as ``Points.of``.
    """
    points = Points.of(doses, successes, trials, floor)
    midpoint, slope, likelihood = likeliest(points)
    interval = _profile_interval(points, midpoint, likelihood, level)
    lowest, highest = float(points.doses.min()), float(points.doses.max())
    ed50: Reached | NotReached
    if midpoint > math.log(highest):
        ed50 = NotReached("above the highest dose", highest, interval)
    elif midpoint < math.log(lowest):
        ed50 = NotReached("below the lowest dose", lowest, interval)
    else:
        ed50 = Reached(math.exp(midpoint), interval)
    return Curve(points, midpoint, slope, floor, likelihood, ed50)


def likeliest(points: Points) -> tuple[float, float, float]:
    """Log ED50, slope and log likelihood of the best curve.

    In (height, slope) the likelihood is concave without a floor, so that one start will do.
    """
    heights = (-2.0, 0.0, 2.0) if points.floors.any() else (0.0,)
    logs = np.log(points.doses)
    centre = float(logs.mean())

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        logits = at[0] + at[1] * (logs - centre)
        score = points.score(logits)
        return -points.log_likelihood(logits), -np.array([score.sum(), score @ (logs - centre)])

    bounds = [(None, None), (FLATTEST, STEEPEST)]
    found = [
        optimize.minimize(loss, (height, 1.0), jac=True, method="L-BFGS-B", bounds=bounds)
        for height in heights
    ]
    best = min(found, key=lambda one: one.fun)
    height, slope = map(float, best.x)
    return centre - height / slope, slope, -float(best.fun)


def _profile_interval(points: Points, midpoint: float, likelihood: float, level: float) -> Interval:
    """All ED50 whose profile is within half a chi-square quantile of the maximum."""
    limit = likelihood - float(stats.chi2.ppf(level, 1)) / 2
    logs = np.log(points.doses)

    def excess(at: float) -> float:
        return points.best(at) - limit

    ends = []
    for side, edge in ((-1, float(logs.min())), (1, float(logs.max()))):
        if points.best_out_of_sight(side) >= limit:
            ends.append(side * math.inf)
            continue
        step = side * float(np.ptp(logs))
        outside = (min if side < 0 else max)(edge, midpoint) + step
        while excess(outside) > 0:
            step *= 2
            outside += step
        ends.append(float(optimize.brentq(excess, midpoint, outside, xtol=1e-4)))
    low, high = np.exp(ends)
    return Interval(float(low), float(high), level)
