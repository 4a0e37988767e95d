"""Hidden-Trigger Backdoor.

Saha, Subramanya and Pirsiavash, "Hidden Trigger Backdoor Attacks", AAAI 2020,
https://arxiv.org/abs/1910.00033.

Objective, over the poisons x_1..x_J of one trial, m surrogates f_i, and J images s_1..s_J of the
target class with the trigger pasted in:

    min_x  L(x) = sum_i sum_j || f_i(x_j) - f_i(s_p(j)) ||_2^2
    s.t.   || x_j - x_b_j ||_inf <= eps,  0 <= x_j <= 1

p pairs each base with a source of its own, greedily: the nearest two of all first. It is made
anew at every step, from the distances of that step. Plain gradient steps in pixels, the rate cut
every so many steps. A trial is done after the step from an x with L(x) < tolerance (the authors'
code looks at the largest distance of a pair; the benchmark's, and this, at their sum). The paper
has one surrogate and pastes the trigger at random places; here its place is fixed.

Threat model: backdoor, clean label, and no poison shows the trigger; the attacker knows the
victim's extractor or one like it, may add J images of the base class, each changed by at most eps
per pixel, and pastes the trigger on the target when it is judged.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from poisoning.attacks.batch import CraftBatch, Surrogates
from poisoning.attacks.report import Report
from poisoning.ops import pairing, projections
from poisoning.params import HiddenTriggerBackdoor, HiddenTriggerBackdoorReference

Params = HiddenTriggerBackdoor | HiddenTriggerBackdoorReference
Pairing = Callable[[Tensor, Tensor], Tensor]  # distances [T, J, J], p before [T, J] -> p [T, J]


def craft(
    params: HiddenTriggerBackdoor, batch: CraftBatch, surrogates: Surrogates, report: Report
) -> Tensor:
    """Poisons [T, J, C, H, W] in [0, 1]."""
    return descend(params, batch, surrogates, report, pairing.one_to_one)


def objective(
    params: HiddenTriggerBackdoor, batch: CraftBatch, surrogates: Surrogates, poisons: Tensor
) -> Tensor:
    """L of each trial, under the pairing of these poisons, [T]."""
    return paired_distance(batch, surrogates, poisons, pairing.one_to_one)


def descend(
    params: Params, batch: CraftBatch, surrogates: Surrogates, report: Report, pair: Pairing
) -> Tensor:
    """The poisons [T, J, C, H, W] that gradient descent on L finds under a rule of pairing."""
    x_b, eps = batch.bases, projections.radius(params.eps_255)
    f_s = source_features(batch, surrogates)
    state = {
        "x": x_b.clone(),
        "p": _fresh(batch),
        "loss": torch.full((len(batch),), torch.inf, device=x_b.device),
    }
    done, (x, p, loss) = report.restore(**state)
    for step in range(done + 1, params.steps + 1):
        live = (loss >= params.tolerance).nonzero().squeeze(1)  # finished trials cost nothing
        if not len(live):
            break
        rate = params.learning_rate * params.decay ** ((step - 1) // params.decay_every)
        z = x[live].requires_grad_()
        f, f_s_live = features(z, surrogates), [f_i[live] for f_i in f_s]
        p[live] = pair(distances(f_s_live, f), p[live])
        L = squared_distance(f, f_s_live, p[live])
        (g,) = torch.autograd.grad(L.sum(), z)
        x[live] = projections.linf(x[live] - rate * g, x_b[live], eps)
        loss[live] = L.detach()
        report(step, params.steps, {"loss": loss.mean()}, x=x, p=p, loss=loss)
    report(params.steps, params.steps, {"loss": loss.mean()})
    return x


@torch.no_grad()
def paired_distance(
    batch: CraftBatch, surrogates: Surrogates, poisons: Tensor, pair: Pairing
) -> Tensor:
    """L [T] of poisons, paired with the sources afresh."""
    f_s, f = source_features(batch, surrogates), features(poisons, surrogates)
    return squared_distance(f, f_s, pair(distances(f_s, f), _fresh(batch)))


@torch.no_grad()
def source_features(batch: CraftBatch, surrogates: Surrogates) -> list[Tensor]:
    """f_i(s_j) of the stamped sources: K of [T, J, D_k]."""
    assert batch.sources is not None and batch.trigger is not None
    return features(batch.trigger.stamp(batch.sources), surrogates)


def features(x: Tensor, surrogates: Surrogates) -> list[Tensor]:
    """K of [T, J, D_k] of images [T, J, C, H, W]."""
    return [f.unflatten(0, x.shape[:2]) for f in surrogates.features(x.flatten(0, 1))]


@torch.no_grad()
def distances(f_s: list[Tensor], f: list[Tensor]) -> Tensor:
    """sum_i || f_i(s_j) - f_i(x_k) ||_2^2 for all j, k: [T, J, J]. By differences, since what
    is small beside the features themselves decides near the end.
    """
    pairs = zip(f_s, f, strict=True)
    each = [torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist") for a, b in pairs]
    return torch.stack(each).square().sum(0)


def squared_distance(f: list[Tensor], f_s: list[Tensor], p: Tensor) -> Tensor:
    """L [T] of poisons' features f under the pairing p [T, J] with the sources' f_s."""
    losses = [
        (f_i - f_s_i.gather(1, p.unsqueeze(2).expand_as(f_i))).square().sum((1, 2))
        for f_i, f_s_i in zip(f, f_s, strict=True)
    ]
    return torch.stack(losses).sum(0)


def _fresh(batch: CraftBatch) -> Tensor:
    """Every base with the source of its own number, [T, J]."""
    poisons = batch.bases.shape[1]
    return torch.arange(poisons, device=batch.bases.device).repeat(len(batch), 1)
