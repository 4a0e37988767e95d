"""A rate over several victims of the same trials, as the benchmark's mean of two black boxes.

The verdicts on one setup go together, so that two victims of 100 trials are not 200 trials.
"""

from collections.abc import Sequence

import numpy as np

from poisoning.stats.published import Estimate, estimate
from poisoning.stats.rates import Interval

DRAWS = 4000


def mean_over_victims(
    outcomes: Sequence[Sequence[bool]], level: float = 0.95, seed: int = 0
) -> Estimate:
    """Mean rate of victims [V, n], with a percentile bootstrap over the n setups (Efron 1979).

    One victim, or victims that agree on every setup at 0 or 1, have Wilson's interval with n
    setups: a resample of equal values knows no spread. Raises ValueError without any trial, or
    where victims were not judged on the same number of them.
    """
    sizes = {len(judged) for judged in outcomes}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError("every victim must be judged on the same setups, at least one")
    per_setup = np.asarray(outcomes, dtype=float).mean(0)
    n, rate = len(per_setup), float(per_setup.mean())
    if len(outcomes) == 1 or rate in (0.0, 1.0):
        return estimate(rate * n, n, level)
    values, counts = np.unique(per_setup, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(n, counts / n, size=DRAWS)
    tail = (1 - level) / 2
    low, high = np.quantile(drawn @ values / n, (tail, 1 - tail))
    return Estimate(rate, Interval(float(low), float(high), level), n)
