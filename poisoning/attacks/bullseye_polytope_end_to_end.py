"""Bullseye Polytope on the output of every block: against victims that train end to end.

Aghakhani, Meng, Wang, Kruegel and Vigna, "Bullseye Polytope: A Scalable Clean-Label Poisoning
Attack with Improved Transferability", EuroS&P 2021, https://arxiv.org/abs/2005.00191.

Objective, over the poisons x_1..x_J of one trial, m surrogates and the B_i blocks f_ib of each:

    min_x  L(x) = 1/m sum_i 1/B_i sum_b || 1/J sum_j f_ib(x_j) - f_ib(x_t) ||_2 / || f_ib(x_t) ||_2
    s.t.   || x_j - x_b_j ||_inf <= eps,  0 <= x_j <= 1

A victim that trains end to end moves its features, so the poisons surround the target in every
block. Which blocks, the paper leaves open; its code takes the penultimate features and one residual
block before the last. Here they are the outputs of all stages of a network, the stem and the
penultimate features among them, each flat and with the same weight. Views of the target, draws of
dropout and Adam are those of ``bullseye_polytope``.

Threat model: targeted, clean label; the attacker knows extractors like the victim's, sees the
target, and may add J images of the base class, each changed by at most eps per pixel.
"""

import torch
from torch import Tensor

from poisoning.attacks import _polytope as polytope
from poisoning.attacks.batch import CraftBatch, Generators, Surrogates
from poisoning.attacks.report import Report
from poisoning.params import BullseyePolytopeEndToEnd


def craft(
    params: BullseyePolytopeEndToEnd, batch: CraftBatch, surrogates: Surrogates, report: Report
) -> Tensor:
    """Poisons [T, J, C, H, W] in [0, 1]."""
    f_t = polytope.target_block_features(batch, surrogates)
    draws = polytope.draws_of(params, surrogates)

    def loss(x: Tensor) -> Tensor:
        return distance(x, f_t, surrogates, batch.generators, draws)

    return polytope.descend(params, batch, loss, report)


def objective(
    params: BullseyePolytopeEndToEnd, batch: CraftBatch, surrogates: Surrogates, poisons: Tensor
) -> Tensor:
    """L of each trial, [T]."""
    with torch.no_grad():
        f_t = polytope.target_block_features(batch, surrogates)
        return distance(poisons, f_t, surrogates)


def distance(
    x: Tensor,
    f_t: list[list[Tensor]],
    surrogates: Surrogates,
    draw: Generators = (),
    draws: int = 1,
) -> Tensor:
    """L [T] of poisons x [T, J, C, H, W] for target features f_t, K lists of [T, D_kb]."""
    losses = []
    f_p = polytope.mean_block_features(x, surrogates, draw, draws)
    for f_p_i, f_t_i in zip(f_p, f_t, strict=True):
        of_blocks = [
            (f_p_ib - f_t_ib).norm(dim=1) / f_t_ib.norm(dim=1)
            for f_p_ib, f_t_ib in zip(f_p_i, f_t_i, strict=True)
        ]
        losses.append(torch.stack(of_blocks).mean(0))
    return torch.stack(losses).mean(0)
