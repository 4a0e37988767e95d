"""What the polytope attacks share: Adam within a budget, and features of targets and poisons."""

from collections.abc import Callable

import torch
from torch import Tensor

from poisoning.attacks.batch import CraftBatch, Generators, Surrogates
from poisoning.attacks.report import Report
from poisoning.ops import adam, projections
from poisoning.params import (
    BullseyePolytope,
    BullseyePolytopeEndToEnd,
    BullseyePolytopeSquared,
    ConvexPolytope,
    ConvexPolytopeEndToEnd,
)

Polytope = (
    ConvexPolytope
    | ConvexPolytopeEndToEnd
    | BullseyePolytope
    | BullseyePolytopeSquared
    | BullseyePolytopeEndToEnd
)
Distance = Callable[[Tensor], Tensor]  # L [T] of poisons [T, J, C, H, W]


def descend(params: Polytope, batch: CraftBatch, distance: Distance, report: Report) -> Tensor:
    """Poisons [T, J, C, H, W] in [0, 1]: ``steps`` of Adam from the bases on.

    Adam works in normalised pixel units, z = (x - mean) / std; the projection in pixels.
    """
    x_b, eps = batch.bases, projections.radius(params.eps_255)
    std = torch.tensor(batch.std, device=x_b.device).view(-1, 1, 1)
    moments = torch.zeros_like(x_b)
    done, (x, m, v) = report.restore(x=x_b.clone(), m=moments, v=moments)
    for step in range(done + 1, params.steps + 1):
        x.requires_grad_()
        loss = distance(x)
        (g,) = torch.autograd.grad(loss.sum(), x)
        with torch.no_grad():
            u, m, v = adam.step(g * std, m, v, step)  # dL/dz = std dL/dx
            x = projections.linf(x - params.learning_rate * std * u, x_b, eps)
        report(step, params.steps, {"loss": loss.detach().mean()}, x=x, m=m, v=v)
    return x.detach()


def mean_features(
    x: Tensor, surrogates: Surrogates, draw: Generators = (), draws: int = 1
) -> list[Tensor]:
    """1/J sum_j f_i(x_j) of poisons x [T, J, C, H, W], averaged over the draws: K of [T, D_k]."""
    drawn = [surrogates.features(x.flatten(0, 1), draw) for _ in range(draws)]
    return [_mean(same, x) for same in zip(*drawn, strict=True)]


def mean_block_features(
    x: Tensor, surrogates: Surrogates, draw: Generators = (), draws: int = 1
) -> list[list[Tensor]]:
    """The same of every block of every surrogate: K lists of [T, D_kb]."""
    drawn = [surrogates.block_features(x.flatten(0, 1), draw) for _ in range(draws)]
    return [
        [_mean(same, x) for same in zip(*blocks, strict=True)]
        for blocks in zip(*drawn, strict=True)
    ]


def _mean(drawn: tuple[Tensor, ...], x: Tensor) -> Tensor:
    """Over draws [T * J, D] of the features of x [T, J, ...] and over the J: [T, D]."""
    return torch.stack(drawn).mean(0).unflatten(0, x.shape[:2]).mean(1)


@torch.no_grad()
def target_block_features(batch: CraftBatch, surrogates: Surrogates) -> list[list[Tensor]]:
    """Every block's features of each trial's target, averaged over its views: [T, D_kb]."""
    features = surrogates.block_features(batch.targets.flatten(0, 1))
    return [[f.unflatten(0, (len(batch), -1)).mean(1) for f in blocks] for blocks in features]


def draws_of(
    params: BullseyePolytope | BullseyePolytopeSquared | BullseyePolytopeEndToEnd,
    surrogates: Surrogates,
) -> int:
    """How often the surrogates are asked at a step: once where they would say the same again."""
    return params.draws if surrogates.has_dropout else 1
