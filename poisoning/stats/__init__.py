"""Statistics of success rates. No torch in here; SciPy only for quantiles and exact tests.

What each of them is, and when it misleads, stands in docs/statistics.md.
"""

from poisoning.stats.pairs import Difficulty, difficulty, holm, mcnemar, paired_excess, ranks
from poisoning.stats.published import (
    MARGIN,
    Comparison,
    Estimate,
    Verdict,
    compare,
    difference,
    estimate,
)
from poisoning.stats.rates import Interval, standard_error, trials_for_width, wilson
from poisoning.stats.sequential import confidence_sequence, is_narrow_enough
from poisoning.stats.victims import mean_excess, mean_over_victims

__all__ = [
    "MARGIN",
    "Comparison",
    "Difficulty",
    "Estimate",
    "Interval",
    "Verdict",
    "compare",
    "confidence_sequence",
    "difference",
    "difficulty",
    "estimate",
    "holm",
    "is_narrow_enough",
    "mcnemar",
    "mean_excess",
    "mean_over_victims",
    "paired_excess",
    "ranks",
    "standard_error",
    "trials_for_width",
    "wilson",
]
