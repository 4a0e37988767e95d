"""A rate over several victims of the same trials, as the benchmark's mean of two black boxes.

The verdicts on one setup go together, so that two victims of 100 trials are not 200 trials.
"""

from collections.abc import Sequence

import numpy as np

from poisoning.stats.pairs import paired_excess
from poisoning.stats.published import Estimate, estimate
from poisoning.stats.rates import Interval
from poisoning.stats.sequential import excess_sequence

DRAWS = 4000


def mean_over_victims(
    outcomes: Sequence[Sequence[bool]],
    level: float = 0.95,
    seed: int = 0,
    is_sequential: bool = False,
) -> Estimate:
    """Mean rate of victims [V, n], with a percentile bootstrap over the n setups (Efron 1979).

    One victim, or victims that agree on every setup at 0 or 1, have Wilson's interval with n
    setups: a resample of equal values knows no spread. ``is_sequential``: a confidence sequence
    instead, as n was not fixed before anybody looked. Raises ValueError without any trial, or
    where victims were not judged on the same number of them.
    """
    sizes = {len(judged) for judged in outcomes}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError("every victim must be judged on the same setups, at least one")
    per_setup = np.asarray(outcomes, dtype=float).mean(0)
    n, rate = len(per_setup), float(per_setup.mean())
    if is_sequential:
        return estimate(sum(map(sum, outcomes)) / len(outcomes), n, level, is_sequential=True)
    if len(outcomes) == 1 or rate in (0.0, 1.0):
        return estimate(round(rate * n), n, level)
    return Estimate(rate, _bootstrap(per_setup, level, seed), n)


def mean_excess(
    outcomes: Sequence[Sequence[bool]],
    others: Sequence[Sequence[bool]],
    level: float = 0.95,
    seed: int = 0,
    is_sequential: bool = False,
) -> tuple[float, Interval]:
    """Difference of two mean rates on the same setups, both [V, n]: victims minus twins, say.

    One victim has Newcombe's paired interval; several the bootstrap over setups. Where all
    setups have the same difference, the interval has the width of Newcombe's at no discord.
    ``is_sequential``: a confidence sequence.
    """
    one, other = np.asarray(outcomes, dtype=bool), np.asarray(others, dtype=bool)
    if one.shape != other.shape or one.ndim != 2 or 0 in one.shape:
        raise ValueError("both must be judged on the same setups, at least one")
    if is_sequential:
        more = one.sum(0) - other.sum(0)  # victims of each setup
        gained, lost = int(more.clip(min=0).sum()), -int(more.clip(max=0).sum())
        return excess_sequence(gained / len(one), lost / len(one), one.shape[1], level)
    if len(one) == 1:
        only = int((one & ~other).sum()), int((~one & other).sum())
        return paired_excess(int((one & other).sum()), *only, int((~one & ~other).sum()), level)
    per_setup = one.mean(0) - other.mean(0)
    gap = float(per_setup.mean())
    if (per_setup == per_setup[0]).all():
        half = paired_excess(0, 0, 0, len(per_setup), level)[1].high
        return gap, Interval(max(-1.0, gap - half), min(1.0, gap + half), level)
    return gap, _bootstrap(per_setup, level, seed)


def _bootstrap(per_setup: np.ndarray, level: float, seed: int) -> Interval:
    """Percentiles of the means of resampled setups; equal values are resampled by their count."""
    n = len(per_setup)
    values, counts = np.unique(per_setup, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(n, counts / n, size=DRAWS)
    tail = (1 - level) / 2
    low, high = np.quantile(drawn @ values / n, (tail, 1 - tail))
    return Interval(float(low), float(high), level)
