"""Random translations and flips that can be differentiated by the image.

A translation by a fraction of a pixel, bilinear, is a product with one banded matrix from each
side: row i of A has the weights max(0, 1 - |p_i - j|) of the pixels j around the place p_i that is
sampled. It equals grid_sample (bilinear, zero padding, align_corners=True) on the shifted grid, and
its gradient, another product, is the same in every run on every device.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Shifts:
    """What is done to each of N images: ``dy``, ``dx`` [N] in pixels, then ``flip`` bool [N]."""

    dy: Tensor
    dx: Tensor
    flip: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        """Images z [N, C, H, W], moved; what comes in from outside is 0."""
        rows = _interpolation(_places(z.shape[2], self.dy)).to(z)
        places = _places(z.shape[3], self.dx)
        columns = _interpolation(
            torch.where(self.flip[:, None], z.shape[3] - 1 - places, places)
        ).to(z)
        return rows[:, None] @ z @ columns[:, None].mT


def draw(generator: torch.Generator, n: int, max_shift: float) -> Shifts:
    """``n`` draws: shifts uniform within +-``max_shift`` pixels, flips with probability 1/2."""
    u = torch.rand(n, 3, generator=generator, device=generator.device)
    dx, dy = (max_shift * (2 * u[:, :2] - 1)).unbind(1)
    return Shifts(dy, dx, u[:, 2] > 0.5)


def _places(size: int, shift: Tensor) -> Tensor:
    """Where each pixel of each image is taken from, [N, size]."""
    return torch.arange(size, device=shift.device) + shift[:, None]


def _interpolation(places: Tensor) -> Tensor:
    """A [N, size, size] of places [N, size]."""
    pixels = torch.arange(places.shape[1], device=places.device)
    return (1 - (places[:, :, None] - pixels).abs()).clamp_min(0)
