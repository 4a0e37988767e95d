"""Bullseye Polytope, mean mode.

Aghakhani, Meng, Wang, Kruegel and Vigna, "Bullseye Polytope: A Scalable Clean-Label Poisoning
Attack with Improved Transferability", EuroS&P 2021, https://arxiv.org/abs/2005.00191.

Objective, over the poisons x_1..x_J of one trial and m surrogates f_i (un-squared, normalised):

    min_x  L(x) = 1/m sum_i || 1/J sum_j f_i(x_j) - f_i(x_t) ||_2 / || f_i(x_t) ||_2
    s.t.   || x_j - x_b_j ||_inf <= eps,  0 <= x_j <= 1

f_i(x_t) is the mean over the views of the target (multi-target mode). A surrogate with dropout
keeps it on for the poisons, and L is averaged over ``draws`` draws of it (multi-draw). Adam works
in normalised pixel units, the projection in pixels.

Threat model: targeted, clean label; the attacker knows extractors like the victim's, sees the
target, and may add J images of the base class, each changed by at most eps per pixel.
"""

import torch
from torch import Tensor

from poisoning.attacks.batch import CraftBatch, Generators, Surrogates, target_features
from poisoning.attacks.report import Report
from poisoning.ops import adam, projections
from poisoning.params import BullseyePolytope


def craft(
    params: BullseyePolytope, batch: CraftBatch, surrogates: Surrogates, report: Report
) -> Tensor:
    """Poisons [T, J, C, H, W] in [0, 1]."""
    x_b, eps = batch.bases, projections.radius(params.eps_255)
    std = torch.tensor(batch.std, device=x_b.device).view(-1, 1, 1)
    f_t = target_features(batch, surrogates)
    draws = params.draws if surrogates.has_dropout else 1
    moments = torch.zeros_like(x_b)
    done, (x, m, v) = report.restore(x=x_b.clone(), m=moments, v=moments)
    for step in range(done + 1, params.steps + 1):
        x.requires_grad_()
        drawn = [distance(x, f_t, surrogates, batch.generators) for _ in range(draws)]
        loss = torch.stack(drawn).mean(0)
        (g,) = torch.autograd.grad(loss.sum(), x)
        with torch.no_grad():
            u, m, v = adam.step(g * std, m, v, step)  # dL/dz = std dL/dx for x = mean + std z
            x = projections.linf(x - params.learning_rate * std * u, x_b, eps)
        report(step, params.steps, {"loss": loss.detach().mean()}, x=x, m=m, v=v)
    return x.detach()


def objective(
    params: BullseyePolytope, batch: CraftBatch, surrogates: Surrogates, poisons: Tensor
) -> Tensor:
    """L of each trial, [T]."""
    with torch.no_grad():
        return distance(poisons, target_features(batch, surrogates), surrogates)


def distance(x: Tensor, f_t: list[Tensor], surrogates: Surrogates, draw: Generators = ()) -> Tensor:
    """L [T] of poisons x [T, J, C, H, W] for target features f_t, K of [T, D_k]."""
    features = surrogates.features(x.flatten(0, 1), draw)
    losses = [
        (f.unflatten(0, x.shape[:2]).mean(1) - f_t_i).norm(dim=1) / f_t_i.norm(dim=1)
        for f, f_t_i in zip(features, f_t, strict=True)
    ]
    return torch.stack(losses).mean(0)
