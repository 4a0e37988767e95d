"""Statistics of success rates. No torch in here; SciPy only for quantiles and exact tests.

What each of them is, and when it misleads, stands in docs/statistics.md.
"""

from poisoning.stats.pairs import (
    Difficulty,
    PairTest,
    difficulty,
    holm,
    mcnemar,
    pair_tests,
    paired_excess,
    ranked,
    ranks,
)
from poisoning.stats.published import (
    MARGIN,
    Comparison,
    Estimate,
    Verdict,
    compare,
    difference,
    estimate,
)
from poisoning.stats.rates import (
    MARK,
    SEQUENCE_NOTE,
    Interval,
    standard_error,
    trials_for_width,
    wilson,
)
from poisoning.stats.sequential import (
    confidence_sequence,
    excess_sequence,
    is_narrow_enough,
    mcnemar_sequential,
    running,
    stops_at,
)
from poisoning.stats.victims import mean_excess, mean_over_victims

__all__ = [
    "MARGIN",
    "MARK",
    "SEQUENCE_NOTE",
    "Comparison",
    "Difficulty",
    "Estimate",
    "Interval",
    "PairTest",
    "Verdict",
    "compare",
    "confidence_sequence",
    "difference",
    "difficulty",
    "estimate",
    "excess_sequence",
    "holm",
    "is_narrow_enough",
    "mcnemar",
    "mcnemar_sequential",
    "mean_excess",
    "mean_over_victims",
    "pair_tests",
    "paired_excess",
    "ranked",
    "ranks",
    "running",
    "standard_error",
    "stops_at",
    "trials_for_width",
    "wilson",
]
