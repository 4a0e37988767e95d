"""Triggers: where they lie, what they look like, and that stamping is exact in floats and bytes."""

import pytest
import torch
from torch.nn import functional

from poisoning.ops import triggers
from poisoning.params import BadNets, CleanLabelBackdoor, HiddenTriggerBackdoor, Triggered
from poisoning.spec import seed_for


def test_lies_in_the_lower_right_corner_or_so_far_from_it():
    assert triggers.make(CleanLabelBackdoor(), 32, 0).place == (27, 27)
    assert triggers.make(HiddenTriggerBackdoor(), 32, 0).place == (22, 22)
    assert triggers.make(HiddenTriggerBackdoor(patch_size=8), 64, 0).place == (51, 51)
    assert triggers.make(BadNets(), 32, 0).place == (29, 29)


def test_a_patch_may_fill_the_image_and_no_more():
    assert triggers.make(Triggered(patch_size=32), 32, 0).place == (0, 0)
    with pytest.raises(ValueError, match="does not fit"):
        triggers.make(Triggered(patch_size=30, inset=3), 32, 0)


def test_a_checkerboard_alternates_and_its_corners_are_white():
    patch = triggers.make(Triggered(patch_size=3), 32, 0).patch
    expected = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]])
    assert torch.equal(patch, expected.expand(3, 3, 3))


def test_a_white_one_is_white():
    patch = triggers.make(Triggered(pattern="white", patch_size=4), 32, 0).patch
    assert torch.equal(patch, torch.ones(3, 4, 4))


def test_a_random_one_is_the_seeds_and_in_colour():
    params = HiddenTriggerBackdoor()
    first, again, other = (triggers.make(params, 32, seed).patch for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
    assert first.std() > 0.1


def by_torch(size: int, seed: int) -> torch.Tensor:
    """4 x 4 colours of torch's generator, enlarged by its own bilinear interpolation."""
    generator = torch.Generator().manual_seed(seed_for(seed, "all", "trigger"))
    colours = torch.rand(1, 3, 4, 4, generator=generator)
    enlarged = functional.interpolate(colours, size=(size, size), mode="bilinear")
    return (enlarged[0] * 255).round()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 8, 10, 16, 20, 30, 32, 64])
def test_a_random_one_has_the_colours_of_torchs_generator(size):
    """Float32 may round a pixel that lies half way between two steps to the other one."""
    assert torch.equal(255 * triggers.make(random_patch(size), 64, 0).patch, by_torch(size, 0))
    apart = 0
    for seed in range(100):
        apart_by = 255 * triggers.make(random_patch(size), 64, seed).patch - by_torch(size, seed)
        assert apart_by.abs().max() <= 1
        apart += int((apart_by != 0).sum())
    assert apart <= 100 * 3 * size**2 * 1e-4


def random_patch(size: int) -> Triggered:
    return Triggered(pattern="random", patch_size=size)


@pytest.mark.parametrize("pattern", ["checkerboard", "random", "white"])
def test_stamped_bytes_are_stamped_floats_rounded(pattern):
    trigger = triggers.make(Triggered(pattern=pattern, patch_size=5, inset=2), 32, 3)
    images = torch.randint(256, (2, 4, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    before = images.to(torch.uint8)
    stamped = trigger.to_uint8().stamp(before)
    assert stamped.dtype == torch.uint8
    assert torch.equal(stamped, (trigger.stamp(before / 255) * 255).round().to(torch.uint8))
    mask = trigger.mask(32)
    assert mask.sum() == 25
    assert torch.equal(stamped[..., ~mask], before[..., ~mask])
    assert torch.equal(stamped[1, 2][:, 25:30, 25:30], trigger.to_uint8().patch)


def test_stamping_leaves_the_image_it_is_given_alone():
    images = torch.zeros(1, 3, 32, 32)
    triggers.make(Triggered(), 32, 0).stamp(images)
    assert images.sum() == 0
