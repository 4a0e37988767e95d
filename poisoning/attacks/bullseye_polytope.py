"""Bullseye Polytope, mean mode.

Aghakhani, Meng, Wang, Kruegel and Vigna, "Bullseye Polytope: A Scalable Clean-Label Poisoning
Attack with Improved Transferability", EuroS&P 2021, https://arxiv.org/abs/2005.00191.

Objective, over the poisons x_1..x_J of one trial and m surrogates f_i (un-squared, normalised):

    min_x  L(x) = 1/m sum_i || 1/J sum_j f_i(x_j) - f_i(x_t) ||_2 / || f_i(x_t) ||_2
    s.t.   || x_j - x_b_j ||_inf <= eps,  0 <= x_j <= 1

f_i(x_t) is the mean over the views of the target (multi-target mode). A surrogate with dropout
keeps it on for the poisons, and f_i(x_j) is the mean over ``draws`` draws of it (multi-draw). Adam
works in normalised pixel units, the projection in pixels.

Threat model: targeted, clean label; the attacker knows extractors like the victim's, sees the
target, and may add J images of the base class, each changed by at most eps per pixel.
"""

import torch
from torch import Tensor

from poisoning.attacks import _polytope as polytope
from poisoning.attacks.batch import CraftBatch, Generators, Surrogates, target_features
from poisoning.attacks.report import Report
from poisoning.params import BullseyePolytope


def craft(
    params: BullseyePolytope, batch: CraftBatch, surrogates: Surrogates, report: Report
) -> Tensor:
    """Poisons [T, J, C, H, W] in [0, 1]."""
    f_t, draws = target_features(batch, surrogates), polytope.draws_of(params, surrogates)

    def loss(x: Tensor) -> Tensor:
        return distance(x, f_t, surrogates, batch.generators, draws)

    return polytope.descend(params, batch, loss, report)


def objective(
    params: BullseyePolytope, batch: CraftBatch, surrogates: Surrogates, poisons: Tensor
) -> Tensor:
    """L of each trial, [T]."""
    with torch.no_grad():
        return distance(poisons, target_features(batch, surrogates), surrogates)


def distance(
    x: Tensor, f_t: list[Tensor], surrogates: Surrogates, draw: Generators = (), draws: int = 1
) -> Tensor:
    """L [T] of poisons x [T, J, C, H, W] for target features f_t, K of [T, D_k]."""
    f_p = polytope.mean_features(x, surrogates, draw, draws)
    losses = [
        (f_p_i - f_t_i).norm(dim=1) / f_t_i.norm(dim=1)
        for f_p_i, f_t_i in zip(f_p, f_t, strict=True)
    ]
    return torch.stack(losses).mean(0)
