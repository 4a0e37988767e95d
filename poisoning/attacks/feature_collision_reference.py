"""Feature Collision by the rule of the benchmark's own code, under which poisons freeze.

Shafahi, Huang, Najibi, Suciu, Studer, Dumitras and Goldstein, "Poison Frogs! Targeted Clean-Label
Poisoning Attacks on Neural Networks", NeurIPS 2018, https://arxiv.org/abs/1804.00792; as it is run
for "Just How Toxic is Data Poisoning?", ICML 2021, https://arxiv.org/abs/2006.12557.

Objective, for every poison x by itself and m surrogates f_i:

    min_x  L(x) = sum_i || f_i(x) - f_i(x_t) ||_2^2   s.t.  || x - x_b ||_inf <= eps,  0 <= x <= 1

It is the objective of ``feature_collision``; what differs is the start and what is compared.

    x_0 = (1 - w) x_b + w x_t,   x' = P(x - s grad L(x)),   accepted where L(x) <= L_last

The start is not projected, so it lies outside the budget until the first step is taken. L(x) is
the loss of the image one stands on, L_last that of the one the last accepted step was taken from
(1e9 at first), so a step is taken before anybody knows what it is worth. Where L(x) > L_last the
step is refused; s is cut, but x does not move, so L(x) is the same the next time and is refused
again, for ever. A frozen poison is therefore left alone from then on, which changes no bit of it,
and ``step_decay`` has no effect. A poison is done when an accepted step has
||x' - x|| / ||x|| < 1e-5.

Threat model: targeted, clean label; the attacker knows the victim's extractor or one like it,
sees the target, and may add J images of the base class, each changed by at most eps per pixel.
"""

import torch
from torch import Tensor

from poisoning.attacks import _collision as collision
from poisoning.attacks.batch import CraftBatch, Surrogates
from poisoning.attacks.report import Report
from poisoning.ops import projections
from poisoning.params import FeatureCollisionReference

BEFORE_THE_FIRST = 1e9


def craft(
    params: FeatureCollisionReference, batch: CraftBatch, surrogates: Surrogates, report: Report
) -> Tensor:
    """Poisons [T, J, C, H, W] in [0, 1]. Inside, a row is one poison."""
    w, eps, s = params.watermark, projections.radius(params.eps_255), params.step_size
    x_b, x_t = collision.rows_of(batch)
    f_t = collision.target_features(batch, surrogates)
    x = (1 - w) * x_b + w * x_t
    last = torch.full((len(x),), BEFORE_THE_FIRST, device=x.device)
    live = torch.ones_like(last, dtype=torch.bool)
    done, (x, last, live) = report.restore(x=x, last=last, live=live)
    for step in range(done + 1, params.steps + 1):
        rows = live.nonzero().squeeze(1)
        if not len(rows):
            break
        x_old, f_rows = x[rows], collision.of_rows(f_t, rows)
        loss, g = collision.distance_and_gradient(x_old, f_rows, surrogates)
        x_new = projections.linf(x_old - s * g, x_b[rows], eps)
        refused = loss > last[rows]
        kept = rows[~refused]
        x[kept], last[kept] = x_new[~refused], loss[~refused]
        is_done = collision.relative_change(x_new, x_old) < collision.TOLERANCE
        live[rows] = ~(refused | is_done)
        report(step, params.steps, {"loss": last.mean()}, x=x, last=last, live=live)
    report(params.steps, params.steps, {"loss": last.mean()})
    return x.view_as(batch.bases)


def objective(
    params: FeatureCollisionReference, batch: CraftBatch, surrogates: Surrogates, poisons: Tensor
) -> Tensor:
    """L of each trial's poisons, averaged over them, [T]."""
    return collision.mean_distance(batch, surrogates, poisons)
