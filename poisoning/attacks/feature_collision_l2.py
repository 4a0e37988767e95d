"""Feature Collision as its paper states it: forward-backward splitting, no budget.

Shafahi, Huang, Najibi, Suciu, Studer, Dumitras and Goldstein, "Poison Frogs! Targeted Clean-Label
Poisoning Attacks on Neural Networks", NeurIPS 2018, https://arxiv.org/abs/1804.00792, algorithm 1.

Objective, for every poison x by itself and m surrogates f_i, with z = (x - mean) / std:

    min_x  F(x) = L(x) + beta/2 || z - z_b ||_2^2,   L(x) = sum_i || f_i(x) - f_i(x_t) ||_2^2

Forward step z' = z - s dL/dz, backward step z'' = (z' + s beta z_b) / (1 + s beta), then clipped
to pixels in [0, 1]; s and beta are in normalised units. (The paper writes F with beta in the place
of beta/2; its backward step, which we keep, is the proximal step of beta/2.) Where F rises, the
step is refused, this poison's s is cut, and the next step starts again from x. The start is a
watermark of the target, (1 - w) x_b + w x_t. A poison is done when the relative change of x is
below 1e-5.

Threat model: targeted, clean label; the attacker knows the victim's extractor or one like it,
sees the target, and may add J images of the base class, changed as much as the penalty lets them.
"""

import torch
from torch import Tensor

from poisoning.attacks import _collision as collision
from poisoning.attacks.batch import CraftBatch, Surrogates
from poisoning.attacks.report import Report
from poisoning.ops import projections
from poisoning.params import FeatureCollisionL2


def craft(
    params: FeatureCollisionL2, batch: CraftBatch, surrogates: Surrogates, report: Report
) -> Tensor:
    """Poisons [T, J, C, H, W] in [0, 1]. Inside, a row is one poison."""
    w, beta = params.watermark, params.beta
    x_b, x_t = collision.rows_of(batch)
    std = torch.tensor(batch.std, device=x_b.device).view(-1, 1, 1)
    f_t = collision.target_features(batch, surrogates)

    def step(x: Tensor, g: Tensor, s: Tensor, rows: Tensor) -> Tensor:
        ahead = x - s * std.square() * g  # z' = z - s dL/dz, with dL/dz = std dL/dx
        return projections.box((ahead + s * beta * x_b[rows]) / (1 + s * beta))

    def judge(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        f_rows = collision.of_rows(f_t, rows)
        loss, g = collision.distance_and_gradient(x, f_rows, surrogates)
        return loss + penalty(beta, x, x_b[rows], std), g

    start = (1 - w) * x_b + w * x_t
    return collision.descend(params, start, step, judge, report).view_as(batch.bases)


def objective(
    params: FeatureCollisionL2, batch: CraftBatch, surrogates: Surrogates, poisons: Tensor
) -> Tensor:
    """F of each trial's poisons, averaged over them, [T]."""
    std = torch.tensor(batch.std, device=poisons.device).view(-1, 1, 1)
    near = penalty(params.beta, poisons.flatten(0, 1), batch.bases.flatten(0, 1), std)
    return collision.mean_distance(batch, surrogates, poisons) + near.view(len(batch), -1).mean(1)


def penalty(beta: float, x: Tensor, x_b: Tensor, std: Tensor) -> Tensor:
    """beta/2 || z - z_b ||_2^2 of every row, [R]."""
    return beta / 2 * ((x - x_b) / std).square().flatten(1).sum(1)
