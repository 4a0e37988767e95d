"""Triggers: square patches that a backdoor pastes near the lower right corner."""

from dataclasses import dataclass

import torch
from torch import Tensor

from poisoning import patterns
from poisoning.params import Triggered


@dataclass(frozen=True)
class Trigger:
    """A patch [C, P, P] and the place (row, column) of its upper left corner."""

    patch: Tensor
    place: tuple[int, int]

    def stamp(self, images: Tensor) -> Tensor:
        """A copy of images [..., C, H, W] with the patch pasted in. The patch is given in the
        images' own units: floats in [0, 1], or uint8.
        """
        stamped = images.clone()
        row, column = self.place
        size = self.patch.shape[-1]
        stamped[..., row : row + size, column : column + size] = self.patch.to(images)
        return stamped

    def mask(self, image_size: int) -> Tensor:
        """Bool [H, W]: where the patch lies."""
        mask = torch.zeros(image_size, image_size, dtype=torch.bool)
        row, column = self.place
        size = self.patch.shape[-1]
        mask[row : row + size, column : column + size] = True
        return mask

    def to_uint8(self) -> "Trigger":
        """The same trigger for images in uint8, rounded."""
        return Trigger((self.patch * 255).round().to(torch.uint8), self.place)


def make(params: Triggered, image_size: int, seed: int) -> Trigger:
    """The trigger of an experiment; its colours lie on the 1/255 grid. ``seed`` is the
    experiment's root: all of its trials have the same trigger.
    """
    size = params.patch_size
    corner = image_size - params.inset - size
    if corner < 0:
        raise ValueError(f"a patch of {size} px, {params.inset} px from the edge, does not fit")
    drawn = patterns.draw(params.pattern, size, seed)
    return Trigger(torch.from_numpy(drawn) / 255, (corner, corner))
