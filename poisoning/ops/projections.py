"""Constraint sets of poisons and the nearest point in them. Pixels are in [0, 1]."""

import math

from torch import Tensor

LEVELS = 255  # steps of a stored pixel


def radius(eps_255: float) -> float:
    """The largest change, in pixel units, that a budget of ``eps_255`` / 255 leaves to stored
    images: they change in whole steps, so 25.5 / 255 is 25 / 255.
    """
    return math.floor(eps_255) / LEVELS


def box(x: Tensor) -> Tensor:
    """Onto { x : 0 <= x <= 1 }."""
    return x.clamp(0, 1)


def linf(x: Tensor, x_b: Tensor, eps: float) -> Tensor:
    """Onto { x : ||x - x_b||_inf <= eps, 0 <= x <= 1 }; ``x_b`` lies in the box."""
    return box(x.clamp(x_b - eps, x_b + eps))
