"""What victims are asked: the target, transformed targets, and patched images of its class.

A transformed target is one of the views that augmentation draws from: a shift by d pixels is a
crop of the image padded with black, so what comes in is black, as in training.
"""

import torch
from torch import Tensor

from poisoning.data import Split
from poisoning.data.augment import PADDING, Views, apply_views
from poisoning.ops.triggers import Trigger

_SHIFTS = {
    f"{name}_{pixels}": (PADDING + down * pixels, PADDING + right * pixels)
    for pixels in (2, 4)
    # the crop moves against the picture
    for name, down, right in (("left", 0, 1), ("right", 0, -1), ("up", 1, 0), ("down", -1, 0))
}
VARIANTS: tuple[str, ...] = ("flip", *_SHIFTS)
VIEWS = Views(
    torch.tensor([PADDING, PADDING, *(dy for dy, _ in _SHIFTS.values())]),
    torch.tensor([PADDING, PADDING, *(dx for _, dx in _SHIFTS.values())]),
    torch.tensor([False, True, *(False for _ in _SHIFTS)]),
)


def asked(targets: Tensor, trigger: Trigger | None) -> Tensor:
    """The pictures a victim is asked about: uint8 [T, 1 + variants, C, H, W] of targets
    [T, C, H, W]. The first is the target itself; a trigger is stamped after the transformation.
    """
    count = 1 + len(VARIANTS)
    repeated = targets.repeat_interleave(count, 0)
    views = Views(*(drawn.repeat(len(targets)) for drawn in VIEWS))
    transformed = apply_views(repeated, *views).unflatten(0, (len(targets), count))
    return transformed if trigger is None else trigger.stamp(transformed)


def patched(split: Split, label: int, trigger: Trigger) -> Tensor:
    """Every image of a class with the trigger on: uint8 [N, C, H, W]."""
    return trigger.stamp(split.images[split.labels == label])
