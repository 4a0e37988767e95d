"""What a trigger looks like: its pixels, as those who paste it and those who draw it see them.

No torch in here. Colours are drawn by the Mersenne Twister, as torch's own generator draws them on
a processor, so that a seed has the same colours everywhere.
"""

import numpy as np
from numpy.typing import NDArray

from poisoning.spec import seed_for

COLOURS = 4  # a random trigger has 4 x 4 of them, as Saha et al.'s
BITS = 24  # of a colour; float32 holds no more
Pixels = NDArray[np.uint8]


def draw(pattern: str, size: int, seed: int) -> Pixels:
    """uint8 [3, size, size]; ``seed`` is the experiment's root. KeyError for an unknown pattern."""
    return PATTERNS[pattern](size, seed)


def _checkerboard(size: int, seed: int) -> Pixels:
    """White where row + column is even, so that the corners are white."""
    row, column = np.indices((size, size))
    return np.repeat(255 * ((row + column) % 2 == 0)[None].astype(np.uint8), 3, axis=0)


def _white(size: int, seed: int) -> Pixels:
    return np.full((3, size, size), 255, np.uint8)


def _random(size: int, seed: int) -> Pixels:
    """Colours of the seed, bilinearly enlarged with pixel centres half a pixel in."""
    drawn = np.random.RandomState(seed_for(seed, "all", "trigger") % 2**32)
    bits = np.frombuffer(drawn.bytes(4 * 3 * COLOURS**2), "<u4") % 2**BITS
    colours = (bits / 2**BITS).reshape(3, COLOURS, COLOURS)
    weights = _weights(size)
    return (255 * (weights @ colours @ weights.T)).round().astype(np.uint8)


def _weights(size: int) -> NDArray[np.float64]:
    """[size, COLOURS]: what of each colour is in each pixel of a line; at the ends the last one."""
    place = ((np.arange(size) + 0.5) * COLOURS / size - 0.5).clip(0, COLOURS - 1)
    return (1 - np.abs(place[:, None] - np.arange(COLOURS))).clip(0)


PATTERNS = {"checkerboard": _checkerboard, "random": _random, "white": _white}
