"""Random crop, flip and normalisation for whole batches, without PIL.

Equal bit for bit to torchvision's RandomCrop(padding=4), RandomHorizontalFlip, ToTensor and
Normalize. There are 9 * 9 * 2 = 162 views of an image.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

PADDING = 4  # pixels of black on each side
OFFSETS = 2 * PADDING + 1


class Views(NamedTuple):
    """Which view of each image: the crop's corner in the padded image, then a flip."""

    dy: Tensor  # int64 [N], 0..8
    dx: Tensor  # int64 [N], 0..8
    flip: Tensor  # bool [N]


class Plain(NamedTuple):
    """The view that is the image itself."""

    dy: int = PADDING
    dx: int = PADDING
    flip: bool = False

    def of(self, n: int) -> Views:
        """Of ``n`` images."""
        return Views(
            torch.full((n,), self.dy), torch.full((n,), self.dx), torch.full((n,), self.flip)
        )


CENTRE = Plain()


def draw_views(generator: torch.Generator, n: int) -> Views:
    """``n`` independent uniform draws, on the generator's device."""
    drawn = torch.randint(OFFSETS * OFFSETS * 2, (n,), generator=generator, device=generator.device)
    return Views(drawn // (2 * OFFSETS), drawn // 2 % OFFSETS, drawn % 2 == 1)


def apply_views(images: Tensor, dy: Tensor, dx: Tensor, flip: Tensor) -> Tensor:
    """The chosen view of each image; ``images`` [N, C, H, W] of any type, returned alike.

    (dy, dx) = (4, 4) without flip is the image itself.
    """
    n, channels, height, width = images.shape
    device = images.device
    dy, dx, flip = dy.to(device), dx.to(device), flip.to(device)
    padded = functional.pad(images, (PADDING,) * 4)
    columns = torch.arange(width, device=device).expand(n, width)
    columns = torch.where(flip[:, None], width - 1 - columns, columns) + dx[:, None]
    rows = torch.arange(height, device=device) + dy[:, None]
    # one gather over flat pixel places; the channels share them
    places = (rows[:, :, None] * padded.shape[-1] + columns[:, None, :]).view(n, 1, height * width)
    flat = padded.flatten(2)
    return flat.gather(2, places.expand(-1, channels, -1)).view(images.shape)


def normalize(
    images: Tensor,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """uint8 [N, C, H, W] to (x / 255 - mean) / std, computed in float32, given as ``dtype``."""
    shape = (1, -1, 1, 1)
    shift = torch.tensor(mean, dtype=torch.float32, device=images.device).view(shape)
    scale = torch.tensor(std, dtype=torch.float32, device=images.device).view(shape)
    return images.float().div_(255).sub_(shift).div_(scale).to(dtype)


def scaled(x: Tensor, size: int | None) -> Tensor:
    """Images [N, C, H, W] of floats, made smaller to ``size`` pixels a side (None: as they are)
    by bilinear interpolation over as many pixels as become one.
    """
    if size is None or size == x.shape[-1]:
        return x
    return functional.interpolate(x, (size, size), mode="bilinear", antialias=True)
