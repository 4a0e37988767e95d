"""Batched crop, flip and normalisation against torchvision's own on PIL images."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as plain

from poisoning.data.augment import Views, apply_views, draw_views, normalize

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
ALL = [(dy, dx, flip) for dy in range(9) for dx in range(9) for flip in (False, True)]


def one_by_one(image: torch.Tensor, dy: int, dx: int, flip: bool) -> torch.Tensor:
    """What RandomCrop(padding=4) and RandomHorizontalFlip do to one PIL image."""
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    size = picture.height
    cropped = plain.crop(plain.pad(picture, 4), dy, dx, size, size)
    chosen = plain.hflip(cropped) if flip else cropped
    return torch.from_numpy(np.asarray(chosen).copy()).permute(2, 0, 1)


def noise(n: int, size: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("size", [32, 64])
def test_all_162_views_equal_the_plain_loop(size):
    images = noise(len(ALL), size)
    dy, dx, flip = (torch.tensor(column) for column in zip(*ALL, strict=True))
    expected = torch.stack(
        [one_by_one(image, *view) for image, view in zip(images, ALL, strict=True)]
    )
    assert torch.equal(apply_views(images, dy, dx, flip), expected)


def test_normalisation_equals_totensor_and_normalize_bit_for_bit():
    images = noise(20)
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    expected = torch.stack([plain.normalize(plain.to_tensor(p), MEAN, STD) for p in pictures])
    assert torch.equal(normalize(images, MEAN, STD), expected)


def test_normalisation_without_constants_divides_by_255_only():
    images = noise(3)
    assert torch.equal(normalize(images, (0.0,) * 3, (1.0,) * 3), images.float() / 255)


def test_half_precision_is_rounded_once_at_the_end():
    images = noise(3)
    half = normalize(images, MEAN, STD, torch.bfloat16)
    assert torch.equal(half, normalize(images, MEAN, STD).bfloat16())


def test_the_middle_view_is_the_image_itself():
    images = noise(5)
    four = torch.full((5,), 4)
    assert torch.equal(apply_views(images, four, four, torch.zeros(5, dtype=torch.bool)), images)


def test_draws_are_uniform_over_all_views_and_follow_the_seed():
    views = draw_views(torch.Generator().manual_seed(1), 162_000)
    again = draw_views(torch.Generator().manual_seed(1), 162_000)
    assert all(torch.equal(a, b) for a, b in zip(views, again, strict=True))
    assert isinstance(views, Views) and views.flip.dtype == torch.bool
    counts = ((views.dy * 9 + views.dx) * 2 + views.flip).bincount(minlength=162)
    chi_squared = ((counts - 1000.0) ** 2 / 1000).sum().item()
    assert chi_squared < 220  # 161 degrees of freedom: p = 0.001
