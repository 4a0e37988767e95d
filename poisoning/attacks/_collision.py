"""What the forms of Feature Collision share: rows, their targets' features, the loss they lower.

A row is one poison: R = T * J of them, each by itself.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from poisoning.attacks.batch import CraftBatch, Surrogates
from poisoning.attacks.report import Report
from poisoning.params import FeatureCollision, FeatureCollisionL2

TOLERANCE = 1e-5

Try = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # x, its gradient, s, rows -> x'
Judge = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # x, rows -> objective, gradient of L


def descend(
    params: FeatureCollision | FeatureCollisionL2, x: Tensor, step_from: Try, judge: Judge,
    report: Report,
) -> Tensor:  # fmt: skip
    """Rows [R, C, H, W], lowered from ``x`` on, every one at a step size s of its own.

    A step that raises the objective is refused: s is cut, and the next step starts again from
    the last image that was accepted. A row is done when ||x' - x|| / ||x|| < 1e-5.
    """
    loss, grad = judge(x, torch.arange(len(x), device=x.device))
    s = torch.full_like(loss, params.step_size)
    live = torch.ones_like(loss, dtype=torch.bool)
    done, (x, loss, grad, s, live) = report.restore(x=x, loss=loss, grad=grad, s=s, live=live)
    for step in range(done + 1, params.steps + 1):
        rows = live.nonzero().squeeze(1)  # finished rows cost nothing any more
        if not len(rows):
            break
        x_new = step_from(x[rows], grad[rows], per_row(s[rows]), rows)
        moved = relative_change(x_new, x[rows])
        loss_new, grad_new = judge(x_new, rows)
        better = loss_new <= loss[rows]
        kept = rows[better]
        x[kept], loss[kept], grad[kept] = x_new[better], loss_new[better], grad_new[better]
        s[rows[~better]] *= params.step_decay
        live[rows] = moved >= TOLERANCE
        state = {"x": x, "loss": loss, "grad": grad, "s": s, "live": live}
        report(step, params.steps, {"loss": loss.mean()}, **state)
    report(params.steps, params.steps, {"loss": loss.mean()})
    return x


def rows_of(batch: CraftBatch) -> tuple[Tensor, Tensor]:
    """x_b and x_t of every row: [R, C, H, W] each."""
    x_t = batch.targets[:, :1].expand_as(batch.bases)
    return batch.bases.flatten(0, 1), x_t.flatten(0, 1)


@torch.no_grad()
def target_features(batch: CraftBatch, surrogates: Surrogates) -> list[Tensor]:
    """f_i(x_t) of every row: K of [R, D_k]."""
    poisons = batch.bases.shape[1]
    features = surrogates.features(batch.targets[:, 0])
    return [f.repeat_interleave(poisons, 0) for f in features]


def distance(x: Tensor, f_t: list[Tensor], surrogates: Surrogates) -> Tensor:
    """L(x) = sum_i || f_i(x) - f_i(x_t) ||_2^2 [R] of images x [R, C, H, W], f_t K of [R, D_k]."""
    pairs = zip(surrogates.features(x), f_t, strict=True)
    return torch.stack([(f - f_t_i).square().sum(1) for f, f_t_i in pairs]).sum(0)


def distance_and_gradient(
    x: Tensor, f_t: list[Tensor], surrogates: Surrogates
) -> tuple[Tensor, Tensor]:
    """L(x) [R] and grad L(x) [R, C, H, W]."""
    x = x.detach().requires_grad_()
    loss = distance(x, f_t, surrogates)
    (grad,) = torch.autograd.grad(loss.sum(), x)
    return loss.detach(), grad


def of_rows(f_t: list[Tensor], rows: Tensor) -> list[Tensor]:
    return [f[rows] for f in f_t]


def mean_distance(batch: CraftBatch, surrogates: Surrogates, poisons: Tensor) -> Tensor:
    """L of each trial's poisons [T, J, C, H, W], averaged over them, [T]."""
    f_t = target_features(batch, surrogates)
    with torch.no_grad():
        return distance(poisons.flatten(0, 1), f_t, surrogates).view(len(batch), -1).mean(1)


def relative_change(x_new: Tensor, x: Tensor) -> Tensor:
    """||x' - x||_2 / ||x||_2 of every row, [R]."""
    return (x_new - x).flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)


def per_row(s: Tensor) -> Tensor:
    """One number for every row, to multiply images with."""
    return s.view(-1, 1, 1, 1)
