"""Clean-Label Backdoor.

Turner, Tsipras and Madry, "Label-Consistent Backdoor Attacks", 2019,
https://arxiv.org/abs/1912.02771; the form with adversarial perturbations.

Objective, for every poison by itself, y its base class and m classifiers g_i:

    min_x  L(x) = - sum_i CE(g_i(x), y)   s.t.  || x - x_b ||_inf <= eps,  0 <= x <= 1

by projected gradient ascent on the cross entropy, from a uniform draw in the ball. Then the
trigger is pasted in, at full contrast. An image whose own class can hardly be seen any more is
learned by its trigger; adversarially trained classifiers make perturbations that other networks
see too. The paper has one classifier; with several the cross entropies are summed.

Threat model: backdoor, clean label; the attacker knows a classifier of the victim's classes, may
add J images of the base class, each changed by at most eps per pixel outside the trigger, and
pastes the trigger on the target when it is judged.
"""

import torch
from torch import Tensor
from torch.nn import functional

from poisoning.attacks.batch import CraftBatch, Surrogates
from poisoning.attacks.report import Report
from poisoning.ops import pgd, projections
from poisoning.params import CleanLabelBackdoor, CleanLabelBackdoorReference


def craft(
    params: CleanLabelBackdoor, batch: CraftBatch, surrogates: Surrogates, report: Report
) -> Tensor:
    """Poisons [T, J, C, H, W] in [0, 1], stamped."""
    assert batch.trigger is not None
    return batch.trigger.stamp(perturb(params, batch, surrogates, report))


def objective(
    params: CleanLabelBackdoor | CleanLabelBackdoorReference,
    batch: CraftBatch,
    surrogates: Surrogates,
    poisons: Tensor,
) -> Tensor:
    """L of each trial's poisons as they are stored, trigger and all, averaged over them, [T]."""
    with torch.no_grad():
        return -cross_entropy(poisons, batch.base_labels, surrogates).mean(1)


def perturb(
    params: CleanLabelBackdoor | CleanLabelBackdoorReference,
    batch: CraftBatch,
    surrogates: Surrogates,
    report: Report,
) -> Tensor:
    """argmin_x L(x) from each base, without any trigger: [T, J, C, H, W]."""
    x_b, eps = batch.bases, projections.radius(params.eps_255)
    drawn = zip(x_b, batch.generators, strict=True)
    done, (x,) = report.restore(x=torch.stack([pgd.start(b, eps, g) for b, g in drawn]))
    for step in range(done + 1, params.steps + 1):
        x.requires_grad_()
        ce = cross_entropy(x, batch.base_labels, surrogates)
        (g,) = torch.autograd.grad(ce.sum(), x)
        with torch.no_grad():
            x = pgd.step(x, g, x_b, eps, params.step_size_255 / 255)
        report(step, params.steps, {"loss": -ce.detach().mean()}, x=x)
    return x.detach()


def cross_entropy(x: Tensor, y: Tensor, surrogates: Surrogates) -> Tensor:
    """sum_i CE(g_i(x), y), [T, J], of images x [T, J, C, H, W] and their trials' classes y [T]."""
    labels = y.repeat_interleave(x.shape[1])
    losses = [
        functional.cross_entropy(logits, labels, reduction="none")
        for logits in surrogates.logits(x.flatten(0, 1))
    ]
    return torch.stack(losses).sum(0).unflatten(0, x.shape[:2])
