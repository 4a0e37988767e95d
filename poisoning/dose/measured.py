"""What a sweep measured, and the curve through it. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from poisoning.dose.curve import Curve, fit


@dataclass(frozen=True)
class Measured:
    """The trials at one dose: how many there were, and how many victims and twins were fooled."""

    dose: float
    trials: int
    successes: int
    twins: int


def floor_of(measured: Sequence[Measured]) -> float:
    """The twins' rate over all doses: what falls without any poison."""
    trials = sum(at.trials for at in measured)
    return sum(at.twins for at in measured) / trials if trials else 0.0


@lru_cache(maxsize=512)
def curve_through(measured: tuple[Measured, ...]) -> Curve | None:
    """The fitted curve from the twins' rate up; None for fewer than two doses, or where every
    twin falls and no dose can add anything.
    """
    judged = [at for at in measured if at.trials]
    floor = floor_of(judged)
    if len({at.dose for at in judged}) < 2 or floor >= 1:
        return None
    return fit(
        [at.dose for at in judged],
        [at.successes for at in judged],
        [at.trials for at in judged],
        floor,
    )
