"""Convex Polytope, on penultimate features.

Zhu, Huang, Li, Taylor, Studer and Goldstein, "Transferable Clean-Label Poisoning Attacks on Deep
Neural Nets", ICML 2019, https://arxiv.org/abs/1905.05897.

Objective, over the poisons x_1..x_J of one trial and m surrogates f_i, each with its own c_i:

    min_x min_c  L(x, c) = sum_i 1/2 || f_i(x_t) - sum_j c_ij f_i(x_j) ||_2^2 / || f_i(x_t) ||_2^2
    s.t.          c_i >= 0,  sum_j c_ij = 1,  || x_j - x_b_j ||_inf <= eps,  0 <= x_j <= 1

Every step solves for the coefficients c exactly (the paper iterates a forward-backward scheme to
a tolerance), then takes one Adam step in x at those c: at the optimal c the gradient of
min_c L(x, c) is that of L at fixed c. f_i(x_t) is the mean over the views of the target.

Threat model: targeted, clean label; the attacker knows extractors like the victim's, sees the
target, and may add J images of the base class, each changed by at most eps per pixel.
"""

import torch
from torch import Tensor

from poisoning.attacks import _polytope as polytope
from poisoning.attacks.batch import CraftBatch, Surrogates, target_features
from poisoning.attacks.report import Report
from poisoning.ops import simplex
from poisoning.params import ConvexPolytope


def craft(
    params: ConvexPolytope, batch: CraftBatch, surrogates: Surrogates, report: Report
) -> Tensor:
    """Poisons [T, J, C, H, W] in [0, 1]."""
    f_t = target_features(batch, surrogates)
    return polytope.descend(params, batch, lambda x: distance(x, f_t, surrogates), report)


def objective(
    params: ConvexPolytope, batch: CraftBatch, surrogates: Surrogates, poisons: Tensor
) -> Tensor:
    """min_c L of each trial, [T]."""
    with torch.no_grad():
        return distance(poisons, target_features(batch, surrogates), surrogates)


def distance(x: Tensor, f_t: list[Tensor], surrogates: Surrogates) -> Tensor:
    """min_c L [T] of poisons x [T, J, C, H, W] for target features f_t, K of [T, D_k]."""
    features = surrogates.features(x.flatten(0, 1))
    losses = [
        residual(f_i.unflatten(0, x.shape[:2]), f_t_i)
        for f_i, f_t_i in zip(features, f_t, strict=True)
    ]
    return torch.stack(losses).sum(0)


def residual(f: Tensor, f_t: Tensor) -> Tensor:
    """min_c 1/2 || f_t - sum_j c_j f_j ||^2 / || f_t ||^2 [T] of f [T, J, D] and f_t [T, D]."""
    c = simplex.coefficients(f.detach(), f_t)  # [T, J]
    rest = f_t - (c.unsqueeze(2) * f).sum(1)
    return 0.5 * rest.square().sum(1) / f_t.square().sum(1)
