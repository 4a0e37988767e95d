"""Feature Collision, l-infinity form.

Shafahi, Huang, Najibi, Suciu, Studer, Dumitras and Goldstein, "Poison Frogs! Targeted Clean-Label
Poisoning Attacks on Neural Networks", NeurIPS 2018, https://arxiv.org/abs/1804.00792; bounded by
eps as in "Just How Toxic is Data Poisoning?", ICML 2021, https://arxiv.org/abs/2006.12557.

Objective, for every poison x by itself and m surrogates f_i:

    min_x  L(x) = sum_i || f_i(x) - f_i(x_t) ||_2^2   s.t.  || x - x_b ||_inf <= eps,  0 <= x <= 1

Forward step x' = P(x - s grad L(x)) with P the projection; where L rises, x' is refused, this
poison's s is cut, and the next step starts again from x. The start is a watermark of the target,
P((1 - w) x_b + w x_t): it is projected first, so that only images within the budget are ever
compared. (Compared with the watermark itself, which lies outside, every first step looks worse,
and a poison that may not move never gets another chance.) A poison is done when
||x' - x|| / ||x|| < 1e-5.

Threat model: targeted, clean label; the attacker knows the victim's extractor or one like it,
sees the target, and may add J images of the base class, each changed by at most eps per pixel.
"""

import torch
from torch import Tensor

from poisoning.attacks.batch import CraftBatch, Surrogates
from poisoning.attacks.report import Report
from poisoning.ops import projections
from poisoning.params import FeatureCollision

TOLERANCE = 1e-5


def craft(
    params: FeatureCollision, batch: CraftBatch, surrogates: Surrogates, report: Report
) -> Tensor:
    """Poisons [T, J, C, H, W] in [0, 1]. Inside, a row is one poison: R = T * J rows."""
    w, eps = params.watermark, projections.radius(params.eps_255)
    x_b, f_t = batch.bases.flatten(0, 1), _target_features(batch, surrogates)
    x_t = batch.targets[:, :1].expand_as(batch.bases).flatten(0, 1)
    x = projections.linf((1 - w) * x_b + w * x_t, x_b, eps)
    loss, grad = _value_and_gradient(x, f_t, surrogates)
    s = torch.full_like(loss, params.step_size)
    live = torch.ones_like(loss, dtype=torch.bool)
    done, (x, loss, grad, s, live) = report.restore(x=x, loss=loss, grad=grad, s=s, live=live)
    for step in range(done + 1, params.steps + 1):
        rows = live.nonzero().squeeze(1)  # finished rows cost nothing any more
        if not len(rows):
            break
        x_new = projections.linf(x[rows] - _per_row(s[rows]) * grad[rows], x_b[rows], eps)
        moved = (x_new - x[rows]).flatten(1).norm(dim=1) / x[rows].flatten(1).norm(dim=1)
        loss_new, grad_new = _value_and_gradient(x_new, [f[rows] for f in f_t], surrogates)
        better = loss_new <= loss[rows]
        kept = rows[better]
        x[kept], loss[kept], grad[kept] = x_new[better], loss_new[better], grad_new[better]
        s[rows[~better]] *= params.step_decay
        live[rows] = moved >= TOLERANCE
        state = {"x": x, "loss": loss, "grad": grad, "s": s, "live": live}
        report(step, params.steps, {"loss": loss.mean()}, **state)
    report(params.steps, params.steps, {"loss": loss.mean()})
    return x.view_as(batch.bases)


def objective(
    params: FeatureCollision, batch: CraftBatch, surrogates: Surrogates, poisons: Tensor
) -> Tensor:
    """L of each trial's poisons, averaged over them, [T]."""
    f_t = _target_features(batch, surrogates)
    with torch.no_grad():
        return _loss(poisons.flatten(0, 1), f_t, surrogates).view(len(batch), -1).mean(1)


def _loss(x: Tensor, f_t: list[Tensor], surrogates: Surrogates) -> Tensor:
    """L [R] of images x [R, C, H, W] and their targets' features, K of [R, D_k]."""
    pairs = zip(surrogates.features(x), f_t, strict=True)
    return torch.stack([(f - f_t_i).square().sum(1) for f, f_t_i in pairs]).sum(0)


def _value_and_gradient(
    x: Tensor, f_t: list[Tensor], surrogates: Surrogates
) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    loss = _loss(x, f_t, surrogates)
    (grad,) = torch.autograd.grad(loss.sum(), x)
    return loss.detach(), grad


@torch.no_grad()
def _target_features(batch: CraftBatch, surrogates: Surrogates) -> list[Tensor]:
    """f_i(x_t) for every row of the batch: K of [R, D_k]."""
    poisons = batch.bases.shape[1]
    features = surrogates.features(batch.targets[:, 0])
    return [f.repeat_interleave(poisons, 0) for f in features]


def _per_row(s: Tensor) -> Tensor:
    return s.view(-1, 1, 1, 1)
