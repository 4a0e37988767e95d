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
from scipy import optimize, special

from poisoning.stats import Interval
from poisoning.stats.rates import check

# Slopes allowed. The steepest goes from 10 to 90 % within a factor of 1.25 in dose: steeper ones
# are not told apart by any sweep, and would leave the likelihood without a maximum.
FLATTEST, STEEPEST = 1e-6, 20.0
LOG_SLOPES = np.linspace(math.log(FLATTEST), math.log(STEEPEST), 40)
FAR = 30.0  # a logit as good as infinite
HEIGHTS = np.linspace(-FAR, FAR, 61)  # logits of flat curves to start from


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

    def log_likelihood(self, logits: np.ndarray | float) -> np.ndarray:
        """Of the rates floor + (1 - floor) expit(logits), up to the binomial coefficients.

        Logits are [..., points], or one for all points; the answer is [...].
        """
        log_p, log_q = self._logs(logits)
        return (self.successes * log_p + (self.trials - self.successes) * log_q).sum(-1)

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
            return -float(self.log_likelihood(math.exp(log_slope) * distance))

        # a floor may leave several maxima: the best of a grid first, then between its neighbours
        tried = self.log_likelihood(np.exp(LOG_SLOPES)[:, None] * distance)
        at = int(tried.argmax())
        bounds = LOG_SLOPES[max(at - 1, 0)], LOG_SLOPES[min(at + 1, len(LOG_SLOPES) - 1)]
        found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded")
        return max(-float(found.fun), float(tried[at]))

    def best_out_of_sight(self, side: int) -> float:
        """What the profile tends to where ED50 goes to nought (-1) or to infinity (1).

        The curve is flat there: a constant in the upper, or in the lower half of its range.
        """
        bounds = (-FAR, 0.0) if side == 1 else (0.0, FAR)
        found = optimize.minimize_scalar(
            lambda logit: -float(self.log_likelihood(logit)), bounds=bounds, method="bounded"
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
    """Log ED50, slope and log likelihood of the best curve: the best of a grid, refined.

    In (height, slope) the likelihood is concave without a floor; with one it may have several
    maxima, so that the start matters.
    """
    logs = np.log(points.doses)
    centre = float(logs.mean())
    starts = _starts(logs, centre)
    tried = points.log_likelihood(starts[:, :1] + starts[:, 1:] * (logs - centre))

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        logits = at[0] + at[1] * (logs - centre)
        score = points.score(logits)
        gradient = -np.array([score.sum(), score @ (logs - centre)])
        return -float(points.log_likelihood(logits)), gradient

    start = starts[tried.argmax()]
    bounds = [(None, None), (FLATTEST, STEEPEST)]
    best = optimize.minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-13}
    )
    height, slope = map(float, best.x)
    return centre - height / slope, slope, -float(best.fun)


def _starts(logs: np.ndarray, centre: float) -> np.ndarray:
    """Pairs of a height and a slope [N, 2]: midpoints in and around the doses; flat curves."""
    span = np.ptp(logs)
    midpoints = np.linspace(logs.min() - span, logs.max() + span, 90)[:, None]
    slopes = np.broadcast_to(np.exp(LOG_SLOPES), (90, len(LOG_SLOPES)))
    curved = np.stack([slopes * (centre - midpoints), slopes], -1).reshape(-1, 2)
    return np.concatenate([curved, np.stack([HEIGHTS, np.full_like(HEIGHTS, FLATTEST)], -1)])


def _profile_interval(points: Points, midpoint: float, likelihood: float, level: float) -> Interval:
    """All ED50 whose profile is within half a chi-square quantile of the maximum."""
    limit = likelihood - float(special.chdtri(1, 1 - level)) / 2
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
    with np.errstate(over="ignore"):  # a limit out of all reason is none
        low, high = np.exp(ends)
    return Interval(float(low), float(high), level)
