"""How much poison it takes: sweeps, the curve through them, and where to measure next. No torch.

What the figures mean stands in docs/statistics.md.
"""

from poisoning.dose.curve import Curve, NotReached, Points, Reached, fit, likeliest
from poisoning.dose.design import Unit, better_unit, next_dose
from poisoning.dose.sweep import Sweep

__all__ = [
    "Curve",
    "NotReached",
    "Points",
    "Reached",
    "Sweep",
    "Unit",
    "better_unit",
    "fit",
    "likeliest",
    "next_dose",
]
