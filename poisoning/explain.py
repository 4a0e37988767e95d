"""Why an attack worked on a victim, or did not: what its features say of target and poisons.

The plane is the one of Poison Frogs' figure 3 (Shafahi et al. 2018): the first axis joins the
centroids of the target's and of the base class, the second is the direction in which what is left
varies most. Distances are relative to the length of the target's own feature vector.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from poisoning.events import Curve, Explanation

SHOWN = 25  # poisons, and bases
CLOUD = 40  # images of each class
EPOCHS_SHOWN = 50


def explain(
    target: Tensor, bases: Tensor, poisons: Tensor, base_class: Tensor, target_class: Tensor
) -> Explanation:
    """From penultimate features of one victim: the target's [D], the bases' and the poisons'
    [J, D], and those of clean training images of both classes [N, D] and [M, D].
    """
    target, bases, poisons = (f.detach().cpu().double() for f in (target, bases, poisons))
    base_class, target_class = base_class.cpu().double(), target_class.cpu().double()
    length = target.norm().clamp_min(1e-12)
    axes, origin = plane(base_class, target_class, torch.cat([bases, poisons, target[None]]))

    def points(features: Tensor) -> tuple[tuple[float, float], ...]:
        flat = (features - origin) @ axes.T / length
        return tuple((round(x, 4), round(y, 4)) for x, y in flat.tolist())

    return Explanation(
        target=points(target[None])[0],
        bases=points(bases[:SHOWN]),
        poisons=points(poisons[:SHOWN]),
        base_class=points(base_class[:CLOUD]),
        target_class=points(target_class[:CLOUD]),
        distance_before=float(away(target, bases.mean(0))),
        distance_after=float(away(target, poisons.mean(0))),
        nearest_before=float(away(target, bases).min()),
        nearest_after=float(away(target, poisons).min()),
        class_distance=float(away(target, target_class).median()) if len(target_class) else None,
    )


def away(target: Tensor, features: Tensor) -> Tensor:
    """Distances [...] of features [..., D] to the target's [D], in lengths of the latter."""
    return (features - target).norm(dim=-1) / target.norm().clamp_min(1e-12)


def plane(base_class: Tensor, target_class: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Two orthonormal axes [2, D] and the origin [D], midway between the classes' centroids.

    Where a class is empty or both centroids are the same, the first axis is the direction of the
    largest variance instead.
    """
    everything = torch.cat([base_class, target_class, others])
    has_both = bool(len(base_class)) and bool(len(target_class))
    if has_both:
        centroids = base_class.mean(0), target_class.mean(0)
        origin, first = (centroids[0] + centroids[1]) / 2, centroids[0] - centroids[1]
    else:
        origin, first = everything.mean(0), torch.zeros_like(everything[0])
    if first.norm() < 1e-9:
        first = _principal(everything - everything.mean(0))
    first = first / first.norm().clamp_min(1e-12)
    rest = everything - origin
    rest = rest - (rest @ first)[:, None] * first
    second = _principal(rest - rest.mean(0))
    second = second - (second @ first) * first
    return torch.stack([first, second / second.norm().clamp_min(1e-12)]), origin


def _principal(centred: Tensor) -> Tensor:
    """The direction of largest variance [D], its largest entry positive so that it is unique."""
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    first = directions[0]
    return first * first[first.abs().argmax()].sign()


def thin_out(values: Sequence[float], first: int = 1) -> Curve:
    """At most ``EPOCHS_SHOWN`` of a value per epoch, evenly: (epoch from ``first`` on, value). The
    first and the last stay.
    """
    n = len(values)
    if n <= EPOCHS_SHOWN:
        kept = list(range(n))
    else:
        kept = sorted({round(i * (n - 1) / (EPOCHS_SHOWN - 1)) for i in range(EPOCHS_SHOWN)})
    return tuple((first + place, round(values[place], 4)) for place in kept)
