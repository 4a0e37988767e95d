"""What victims are asked: moved and flipped targets, patched images of their class."""

import torch

from poisoning import targets
from poisoning.ops.triggers import Trigger

PATCH = Trigger(torch.full((3, 2, 2), 255, dtype=torch.uint8), (5, 5))


def picture():
    """One bright pixel at (3, 2) on black, 8 pixels wide."""
    image = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    image[:, :, 3, 2] = 200
    return image


def test_every_variant_moves_the_picture_as_its_name_says():
    asked = targets.asked(picture(), None)[0]
    assert len(asked) == 1 + len(targets.VARIANTS) == 10
    expected = {
        "": (3, 2), "flip": (3, 5),
        "left_2": (3, 0), "right_2": (3, 4), "up_2": (1, 2), "down_2": (5, 2),
        "right_4": (3, 6), "down_4": (7, 2),
        "left_4": None, "up_4": None,  # out of the picture
    }  # fmt: skip
    for name, image in zip(("", *targets.VARIANTS), asked, strict=True):
        lit = image[0].nonzero().tolist()
        assert lit == ([list(expected[name])] if expected[name] else []), name


def test_a_trigger_is_stamped_after_the_picture_has_moved():
    asked = targets.asked(picture().repeat(2, 1, 1, 1), PATCH)
    assert asked.shape == (2, 10, 3, 8, 8)
    assert (asked[:, :, :, 5:7, 5:7] == 255).all()
    assert torch.equal(asked[0], asked[1])


def test_patched_images_are_those_of_the_class(digits):
    split = digits.test
    found = targets.patched(split, 3, PATCH)
    of_class = split.images[split.labels == 3]
    assert len(found) == len(of_class) > 10
    assert (found[:, :, 5:7, 5:7] == 255).all()
    changed = (found != of_class).any(1)
    changed[:, 5:7, 5:7] = False
    assert not changed.any()
