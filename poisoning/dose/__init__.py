"""How much poison it takes: sweeps, the curve through them, and where to measure next. No torch.

What the figures mean stands in docs/statistics.md.
"""

from poisoning.dose.band import band
from poisoning.dose.curve import Curve, NotReached, Points, Reached, fit, likeliest
from poisoning.dose.design import Unit, better_unit, next_dose
from poisoning.dose.measured import Measured, curve_through, floor_of
from poisoning.dose.sweep import DoseField, Sweep

__all__ = [
    "Curve",
    "DoseField",
    "Measured",
    "NotReached",
    "Points",
    "Reached",
    "Sweep",
    "Unit",
    "band",
    "better_unit",
    "curve_through",
    "fit",
    "floor_of",
    "likeliest",
    "next_dose",
]
