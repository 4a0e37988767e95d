"""Convex Polytope on the output of every block: against victims that train end to end.

Zhu, Huang, Li, Taylor, Studer and Goldstein, "Transferable Clean-Label Poisoning Attacks on Deep
Neural Nets", ICML 2019, https://arxiv.org/abs/1905.05897.

Objective, over the poisons x_1..x_J of one trial, m surrogates and the B_i blocks f_ib of each,
every block with its own c_ib:

    min_x min_c  L(x, c) = sum_i 1/B_i sum_b
                     1/2 || f_ib(x_t) - sum_j c_ibj f_ib(x_j) ||_2^2 / || f_ib(x_t) ||_2^2
    s.t.          c_ib >= 0,  sum_j c_ibj = 1,  || x_j - x_b_j ||_inf <= eps,  0 <= x_j <= 1

A victim that trains end to end moves its features, so the target shall lie in the polytope of the
poisons in every block. Which blocks, the paper leaves open; its code takes the penultimate features
and one residual block before the last, and sums. Here they are the outputs of all stages of a
network, the stem and the penultimate features among them, each flat and with the same weight, and
their mean is taken, so that a surrogate with many stages weighs no more than one with few. The
coefficients are exact at every step, and Adam is that of ``convex_polytope``.

Threat model: targeted, clean label; the attacker knows extractors like the victim's, sees the
target, and may add J images of the base class, each changed by at most eps per pixel.
"""

import torch
from torch import Tensor

from poisoning.attacks import _polytope as polytope
from poisoning.attacks.batch import CraftBatch, Surrogates
from poisoning.attacks.convex_polytope import residual
from poisoning.attacks.report import Report
from poisoning.params import ConvexPolytopeEndToEnd


def craft(
    params: ConvexPolytopeEndToEnd, batch: CraftBatch, surrogates: Surrogates, report: Report
) -> Tensor:
    """Poisons [T, J, C, H, W] in [0, 1]."""
    f_t = polytope.target_block_features(batch, surrogates)
    return polytope.descend(params, batch, lambda x: distance(x, f_t, surrogates), report)


def objective(
    params: ConvexPolytopeEndToEnd, batch: CraftBatch, surrogates: Surrogates, poisons: Tensor
) -> Tensor:
    """min_c L of each trial, [T]."""
    with torch.no_grad():
        f_t = polytope.target_block_features(batch, surrogates)
        return distance(poisons, f_t, surrogates)


def distance(x: Tensor, f_t: list[list[Tensor]], surrogates: Surrogates) -> Tensor:
    """min_c L [T] of poisons x [T, J, C, H, W] for target features f_t, K lists of [T, D_kb]."""
    losses = []
    for f_i, f_t_i in zip(surrogates.block_features(x.flatten(0, 1)), f_t, strict=True):
        of_blocks = [
            residual(f_ib.unflatten(0, x.shape[:2]), f_t_ib)
            for f_ib, f_t_ib in zip(f_i, f_t_i, strict=True)
        ]
        losses.append(torch.stack(of_blocks).mean(0))
    return torch.stack(losses).sum(0)
