"""Whether a poison set obeys its rules, and how visible it is. Exact, on the stored pixels.

No torch in here, and nothing of any attack: an attack cannot pass itself.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from poisoning.catalog import Budget
from poisoning.poison_set import Pixels, PoisonSet

REFERENCE_TOLERANCE_255 = 9  # what the benchmark's code admits where its rule says 8
SIGMA, RADIUS = 1.5, 5  # Wang et al.'s window of 11 x 11
C_1, C_2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


class BudgetBroken(Exception):
    """Poisons that are not what the rules allow; ``field`` says which rule."""

    def __init__(self, field: str, message: str) -> None:
        self.field, self.message = field, message
        super().__init__(message)


@dataclass(frozen=True)
class Perceptibility:
    """How far poisons are from their bases."""

    linf_255: int  # largest change of a pixel, in steps of 1/255; outside the trigger if so ruled
    mean_l2: float  # per poison, pixels in [0, 1], averaged over poisons
    ssim: float  # averaged over poisons


def check(
    poison_set: PoisonSet,
    images: Pixels,
    labels: NDArray[np.int64],
    budget: Budget,
    eps_255: float | None = None,
) -> Perceptibility:
    """Judge a set against the train split it was made from, ``images`` [N, C, H, W] and
    ``labels`` [N]. Raises BudgetBroken.
    """
    _check_bases(poison_set, images, labels)
    bases = images[poison_set.base_indices]
    change = np.abs(poison_set.poisons.astype(np.int16) - bases)
    if budget == "linf_outside_trigger":
        change = np.where(_trigger_mask(poison_set), 0, change)
    linf_255 = int(change.max())
    allowed = _allowed(budget, eps_255)
    if linf_255 > allowed:
        worst = int(change.reshape(len(change), -1).max(1).argmax())
        raise BudgetBroken(
            "eps_255", f"poison {worst} changes a pixel by {linf_255}/255, beyond {allowed:.0f}/255"
        )
    return Perceptibility(
        linf_255, mean_l2(poison_set.poisons, bases), ssim(poison_set.poisons, bases)
    )


def check_as_reference(
    poison_set: PoisonSet, images: Pixels, labels: NDArray[np.int64]
) -> Perceptibility:
    """Judge a set as the benchmark's own code does; only to reproduce old figures.

    It asks that max_j ||x_j - x_b_j||_inf - 9/255 < 1e-5, whatever eps is, trigger included: its
    poisons were truncated to whole steps of 1/255, which can make of 8/255 downwards 9/255. An
    attack that takes the whole of 9/255 passes too. Raises BudgetBroken.
    """
    return check(poison_set, images, labels, "linf", REFERENCE_TOLERANCE_255)


def _allowed(budget: Budget, eps_255: float | None) -> float:
    if budget == "none":
        return 0
    if budget == "unbounded":
        return math.inf
    if eps_255 is None:
        raise ValueError(f"a budget of kind {budget!r} needs eps_255")
    return math.floor(eps_255)


def _check_bases(poison_set: PoisonSet, images: Pixels, labels: NDArray[np.int64]) -> None:
    indices, base_class = poison_set.base_indices, poison_set.base_class
    if int(indices.max()) >= len(labels):
        raise BudgetBroken(
            "base_indices", f"{indices.max()} is beyond the {len(labels)} training images"
        )
    if len(np.unique(indices)) != len(indices):
        raise BudgetBroken("base_indices", "the same base image is used twice")
    if (labels[indices] != base_class).any():
        raise BudgetBroken("base_indices", f"a base image is not of class {base_class}")
    if (poison_set.labels != base_class).any():
        raise BudgetBroken("labels", f"a poison is not labelled {base_class}, its base's class")
    if poison_set.poisons.shape[1:] != images.shape[1:]:
        raise BudgetBroken(
            "poisons", f"images are {poison_set.poisons.shape[1:]}, not {images.shape[1:]}"
        )
    if poison_set.bases is not None and (poison_set.bases != images[indices]).any():
        raise BudgetBroken("bases", "are not the training images that base_indices name")


def _trigger_mask(poison_set: PoisonSet) -> NDArray[np.bool_]:
    """True where the trigger covers a pixel, [H, W]."""
    mask = np.zeros(poison_set.poisons.shape[-2:], dtype=bool)
    if poison_set.trigger is not None and poison_set.trigger_place is not None:
        row, column = poison_set.trigger_place
        height, width = poison_set.trigger.shape[1:]
        mask[row : row + height, column : column + width] = True
    return mask


def mean_l2(poisons: Pixels, bases: Pixels) -> float:
    """Mean over poisons of ||x - x_b||_2, pixels in [0, 1]."""
    change = (poisons.astype(np.float64) - bases) / 255
    return float(np.sqrt((change**2).sum((1, 2, 3))).mean())


def ssim(poisons: Pixels, bases: Pixels) -> float:
    """Mean structural similarity (Wang et al., IEEE Trans. Image Processing 13, 2004):

        (2 mu_x mu_y + C1)(2 s_xy + C2) / ((mu_x^2 + mu_y^2 + C1)(s_x^2 + s_y^2 + C2))

    with Gaussian windows of 11 x 11, sigma 1.5, that lie wholly inside the image, each channel by
    itself, C1 = (0.01 * 255)^2, C2 = (0.03 * 255)^2; averaged over windows, channels, poisons.
    """
    x, y = poisons.astype(np.float64), bases.astype(np.float64)
    mu_x, mu_y = _windowed(x), _windowed(y)
    s_x, s_y = _windowed(x * x) - mu_x**2, _windowed(y * y) - mu_y**2
    s_xy = _windowed(x * y) - mu_x * mu_y
    above = (2 * mu_x * mu_y + C_1) * (2 * s_xy + C_2)
    below = (mu_x**2 + mu_y**2 + C_1) * (s_x + s_y + C_2)
    return float((above / below).mean())


def _windowed(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian means of every whole window of [..., H, W]."""
    weights = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    weights /= weights.sum()
    columns = sliding_window_view(x, len(weights), axis=-1) @ weights
    means: NDArray[np.float64] = sliding_window_view(columns, len(weights), axis=-2) @ weights
    return means
