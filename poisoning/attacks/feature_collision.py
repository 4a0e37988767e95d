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

from torch import Tensor

from poisoning.attacks import _collision as collision
from poisoning.attacks.batch import CraftBatch, Surrogates
from poisoning.attacks.report import Report
from poisoning.ops import projections
from poisoning.params import FeatureCollision


def craft(
    params: FeatureCollision, batch: CraftBatch, surrogates: Surrogates, report: Report
) -> Tensor:
    """Poisons [T, J, C, H, W] in [0, 1]. Inside, a row is one poison."""
    w, eps = params.watermark, projections.radius(params.eps_255)
    x_b, x_t = collision.rows_of(batch)
    f_t = collision.target_features(batch, surrogates)

    def step(x: Tensor, g: Tensor, s: Tensor, rows: Tensor) -> Tensor:
        return projections.linf(x - s * g, x_b[rows], eps)

    def judge(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        return collision.distance_and_gradient(x, collision.of_rows(f_t, rows), surrogates)

    start = projections.linf((1 - w) * x_b + w * x_t, x_b, eps)
    return collision.descend(params, start, step, judge, report).view_as(batch.bases)


def objective(
    params: FeatureCollision, batch: CraftBatch, surrogates: Surrogates, poisons: Tensor
) -> Tensor:
    """L of each trial's poisons, averaged over them, [T]."""
    return collision.mean_distance(batch, surrogates, poisons)
