"""How sure a fitted curve is, dose by dose. No torch.

The 95 % band at a dose is the interval of the profile likelihood of the rate there: every rate
that some curve predicts whose log likelihood is less than 1.92 below the best one (Venzon and
Moolgavkar, Applied Statistics 37 (1988) 87-94). It is that of one dose at a time, not of the whole
curve at once.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from poisoning.dose.curve import FAR, LOG_SLOPES, STEEPEST, Curve
from poisoning.stats import Interval

NEAR = np.linspace(-3, 3, 121)  # log slopes around the fitted one
COARSE, FINE, HALVINGS = 161, 81, 30


def band(curve: Curve, doses: Sequence[float], level: float = 0.95) -> list[Interval]:
    """The rate's interval at every one of ``doses``.

    For a given slope, the rate at any dose rises with the curve's height, so that the lowest and
    the highest curve of every slope that is likely enough bound it.
    """
    limit = curve.log_likelihood - float(special.chdtri(1, 1 - level)) / 2
    slopes = np.exp(np.unique(np.concatenate([LOG_SLOPES, math.log(curve.slope) + NEAR])))
    slopes = slopes[slopes <= STEEPEST]
    logs = np.log(curve.points.doses)
    centre = float(logs.mean())
    lowest, highest = _ends(curve, slopes, logs - centre, limit)
    kept = ~np.isnan(lowest)
    distances = slopes[kept, None] * (np.log(np.asarray(doses, float)) - centre)  # [slopes, doses]
    low = (lowest[kept, None] + distances).min(0)
    high = (highest[kept, None] + distances).max(0)
    rates = [curve.floor + (1 - curve.floor) * special.expit(each) for each in (low, high)]
    return [Interval(float(a), float(b), level) for a, b in zip(*rates, strict=True)]


def _ends(
    curve: Curve, slopes: np.ndarray, distances: np.ndarray, limit: float
) -> tuple[np.ndarray, np.ndarray]:
    """Per slope, the lowest and the highest logit at the doses' middle that is likely enough.

    NaN where none is: a grid around the best height, its outermost accepted heights, and the steps
    beyond them halved. A flat curve may be all the way up or down, as far as a logit goes.
    """

    def likelihood(heights: np.ndarray) -> np.ndarray:  # [slopes, heights]
        logits = heights[..., None] + slopes[:, None, None] * distances
        return curve.points.log_likelihood(logits)

    reach = (FAR + slopes * np.abs(distances).max())[:, None]
    heights = reach * np.linspace(-1, 1, COARSE)
    best = np.take_along_axis(heights, likelihood(heights).argmax(1)[:, None], 1)
    closely = best + reach * 2 / (COARSE - 1) * np.linspace(-1, 1, FINE)
    heights = np.sort(np.concatenate([heights, closely], 1).clip(-reach, reach), 1)
    accepted = likelihood(heights) >= limit
    rows, size = np.arange(len(slopes)), heights.shape[1]
    first, last = accepted.argmax(1), size - 1 - accepted[:, ::-1].argmax(1)
    ends = []
    for at, beyond in ((first, first - 1), (last, last + 1)):
        inside, outside = heights[rows, at], heights[rows, beyond.clip(0, size - 1)]
        for _ in range(HALVINGS):
            middle = (inside + outside) / 2
            is_in = likelihood(middle[:, None])[:, 0] >= limit
            inside, outside = np.where(is_in, middle, inside), np.where(is_in, outside, middle)
        ends.append(np.where(accepted.any(1), inside, np.nan))
    return ends[0], ends[1]
