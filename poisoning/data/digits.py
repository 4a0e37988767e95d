"""scikit-learn's handwritten digits as 32x32 RGB: real images that need no download.

Alpaydin and Kaynak 1998, https://archive.ics.uci.edu/dataset/80: 1,797 scans of 8x8 pixels with
17 grey levels. Halves of the classes make a transfer setting: pretrain on 0-4, attack on 5-9.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from poisoning.data import Split

TRAIN_PER_CLASS = 130  # the first of each class in file order; whoever is left is for testing
SCALE = 4  # 8 -> 32
LEVELS = 16  # a pixel is 0..16


def load_0_4(data_dir: Path) -> tuple[Split, Split]:
    """Train and test images of the digits 0 to 4, labels 0 to 4; needs no files."""
    return _load(range(0, 5))


def load_5_9(data_dir: Path) -> tuple[Split, Split]:
    """Train and test images of the digits 5 to 9, labels 0 to 4; needs no files."""
    return _load(range(5, 10))


def _file() -> Path:
    """Where scikit-learn keeps the scans. Its own loader would take seconds to import, every job
    anew.
    """
    found = find_spec("sklearn")
    assert found is not None and found.origin is not None  # it is a dependency
    return Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"


def _load(digits: range) -> tuple[Split, Split]:
    table = np.loadtxt(_file(), delimiter=",", dtype=np.int64)
    scans, names = table[:, :-1], table[:, -1]
    images = upscale(scans.reshape(-1, 8, 8))
    rank = np.zeros(len(names), dtype=np.int64)  # place of each image within its class
    for digit in digits:
        of_class = names == digit
        rank[of_class] = np.arange(of_class.sum())
    kept = np.isin(names, digits)
    return (
        _split(images, names, digits, kept & (rank < TRAIN_PER_CLASS)),
        _split(images, names, digits, kept & (rank >= TRAIN_PER_CLASS)),
    )


def _split(images: np.ndarray, names: np.ndarray, digits: range, chosen: np.ndarray) -> Split:
    rgb = np.repeat(images[chosen][:, None], 3, axis=1)
    labels = names[chosen].astype(np.int64) - digits.start
    return Split(torch.from_numpy(rgb), torch.from_numpy(labels))


def upscale(scans: np.ndarray) -> np.ndarray:
    """Bilinear 8x8 -> 32x32 in whole numbers, so that every machine gets the same bytes.

    ``scans`` int [N, 8, 8] in 0..16; returns uint8 [N, 32, 32].
    """
    weights = _bilinear_eighths(scans.shape[-1])  # [32, 8]
    sums = weights @ scans @ weights.T  # 64ths of a level
    unit = 64 * LEVELS
    return ((sums * 255 + unit // 2) // unit).astype(np.uint8)


def _bilinear_eighths(size: int) -> np.ndarray:
    """Interpolation matrix [SCALE * size, size], in eighths; pixel centres aligned, edges held."""
    matrix = np.zeros((SCALE * size, size), dtype=np.int64)
    for row in range(SCALE * size):
        position = 2 * row + 1 - SCALE  # eighths from the first input pixel's centre
        below, part = divmod(position, 2 * SCALE)
        matrix[row, max(below, 0)] += 2 * SCALE - part
        matrix[row, min(below + 1, size - 1)] += part
    return matrix
