"""Projected gradient ascent within an l-infinity ball.

Madry, Makelov, Schmidt, Tsipras and Vladu, "Towards Deep Learning Models Resistant to Adversarial
Attacks", ICLR 2018, https://arxiv.org/abs/1706.06083. Pixels are in [0, 1].
"""

import torch
from torch import Tensor

from poisoning.ops import projections


def start(x_b: Tensor, eps: float, generator: torch.Generator) -> Tensor:
    """A uniform draw from the ball of radius ``eps`` around ``x_b``, clipped to the box. The draw
    is made on the generator's device, so that it is the same for every device of ``x_b``.
    """
    drawn = torch.rand(x_b.shape, generator=generator, device=generator.device).to(x_b)
    return projections.linf(x_b + eps * (2 * drawn - 1), x_b, eps)


def step(x: Tensor, g: Tensor, x_b: Tensor, eps: float, size: float) -> Tensor:
    """P(x + size sign(g)), with P the projection onto the ball around ``x_b`` and the box."""
    return projections.linf(x + size * g.sign(), x_b, eps)
