"""Parts of the crafting and of the data path, each beside its plain way."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as images_of

from benchmarks import plain
from benchmarks.measure import Case, Check
from benchmarks.stage import Stage
from poisoning.data.augment import PADDING, Views, apply_views, draw_views, normalize
from poisoning.ops import pairing, simplex

SLACK = 1e-6  # by how much, relative, an objective may be worse than the plain way's


def cases(stage: Stage) -> Iterator[Case]:
    yield from _simplex(stage)
    for poisons in stage.size.pairs:
        yield from _pairings(poisons)
    yield _views(stage)


def _simplex(stage: Stage) -> Iterator[Case]:
    """Least squares on the simplex, from coefficients of 1/J on."""
    count, poisons = stage.size.problems, stage.size.poisons
    points, target = _problems(count, poisons)
    alone = min(count, 14)

    def one_by_one() -> Tensor:
        start = torch.full((poisons,), 1 / poisons)
        return torch.stack([
            plain.least_squares_simplex(points[i], target[i], start) for i in range(alone)
        ])  # fmt: skip

    def check(theirs: Tensor, ours: Tensor) -> Check:
        excess = _value(points, target, ours)[:alone] / _value(points, target, theirs) - 1
        worst = excess.max().item()
        return Check(worst <= SLACK, f"objective at most {worst:+.1e}, relative, above the plain")

    def alone_each() -> Tensor:
        return torch.cat([
            simplex.coefficients(points[i, None], target[i, None]) for i in range(alone)
        ])  # fmt: skip

    def by_interior() -> Tensor:
        return simplex.solve(*simplex.gram(points, target))

    yield Case(
        "simplex least squares, one by one", "problem", one_by_one, alone_each, alone, alone,
        check, 8.0, "block pivots, float64",
    )  # fmt: skip
    yield Case(
        f"simplex least squares, {count} at once", "problem", one_by_one,
        lambda: simplex.coefficients(points, target), alone, count, check, 20.0,
        "block pivots, float64: the way taken on a processor",
    )  # fmt: skip
    yield Case(
        f"simplex least squares, {count} at once, by the interior", "problem", one_by_one,
        by_interior, alone, count, check, None,
        f"the way taken on a GPU: {simplex.STEPS} interior-point steps, float64",
    )  # fmt: skip


def _problems(count: int, poisons: int) -> tuple[Tensor, Tensor]:
    """Points [count, J, 512] and targets [count, 512], drawn: features after a ReLU, one half
    common to all and one half their own. These are easy ones: the plain solver takes the longer
    the more alike the points are.
    """
    generator = torch.Generator().manual_seed(3)
    common = torch.randn(count, 1, 512, generator=generator)
    own = torch.randn(count, poisons + 1, 512, generator=generator)
    features = (common + own).clamp(min=0)
    return features[:, :-1], features[:, -1]


def _value(points: Tensor, target: Tensor, c: Tensor) -> Tensor:
    count = len(c)
    mixed = (c.double().unsqueeze(2) * points[:count].double()).sum(1)
    return (mixed - target[:count].double()).square().sum(1)


def _pairings(poisons: int) -> Iterator[Case]:
    generator = torch.Generator().manual_seed(poisons)
    d = torch.rand(poisons, 1, generator=generator) + 0.3 * torch.rand(
        poisons, poisons, generator=generator
    )
    before = torch.arange(poisons)[None]
    goal = 50.0 if poisons >= 500 else 5.0
    forms = (
        ("benchmark's", plain.one_cell, pairing.smallest_cells, goal),
        ("one to one", plain.row_and_column, pairing.one_to_one, None),
    )
    repeat = max(1, 500 // poisons)
    for name, literal, fast, wanted in forms:
        yield Case(
            f"HTBD pairing, {name}, {poisons} poisons",
            "pairing",
            lambda literal=literal: _again(repeat, lambda: literal(d)),
            lambda fast=fast: _again(repeat, lambda: fast(d[None], before)[0]),
            repeat,
            repeat,
            lambda a, b: Check(torch.equal(a, b), "equal" if torch.equal(a, b) else "differs"),
            wanted,
        )


def _again(times: int, function: Callable[[], Tensor]) -> Tensor:
    for _ in range(times - 1):
        function()
    return function()


def _views(stage: Stage) -> Case:
    count = stage.size.images
    images = stage.data.train.images[:count]
    count = len(images)
    views = draw_views(torch.Generator().manual_seed(0), count)
    arrays = images.permute(0, 2, 3, 1).numpy()

    def check(a: Tensor, b: Tensor) -> Check:
        return Check(torch.equal(a, b), "equal, bit for bit" if torch.equal(a, b) else "differs")

    return Case(
        "crop, flip, normalise", "image",
        lambda: pil_views(arrays, views, stage.mean, stage.std),
        lambda: normalize(apply_views(images, *views), stage.mean, stage.std),
        count, count, check, 10.0,
    )  # fmt: skip


def pil_views(
    arrays: np.ndarray, views: Views, mean: tuple[float, ...], std: tuple[float, ...]
) -> Tensor:
    """Images uint8 [N, H, W, C], one after the other through PIL, as a loader without workers
    does it; normalised [N, C, H, W].
    """
    found, size = [], arrays.shape[1:3]
    for array, dy, dx, flip in zip(arrays, *(drawn.tolist() for drawn in views), strict=True):
        image = images_of.pad(Image.fromarray(array), [PADDING] * 4)
        image = images_of.crop(image, dy, dx, *size)
        image = images_of.hflip(image) if flip else image
        found.append(images_of.normalize(images_of.to_tensor(image), list(mean), list(std)))
    return torch.stack(found)
