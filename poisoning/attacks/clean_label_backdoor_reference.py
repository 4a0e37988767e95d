"""Clean-Label Backdoor as the benchmark's code runs it.

Turner, Tsipras and Madry, "Label-Consistent Backdoor Attacks", 2019,
https://arxiv.org/abs/1912.02771, in the form behind the numbers of "Just How Toxic is Data
Poisoning?", ICML 2021, https://arxiv.org/abs/2006.12557.

Objective, for every poison by itself, y its base class and m classifiers g_i, as in the paper:

    min_x  L(x) = - sum_i CE(g_i(x), y)   s.t.  || x - x_b ||_inf <= eps,  0 <= x <= 1

What departs from the paper: after the trigger is pasted in, the whole poison is clipped to eps
around its base, the patch with it. Training images carry a trace of the trigger, at most eps
strong, and the target carries the trigger itself.

Threat model: backdoor, clean label; the attacker knows a classifier of the victim's classes, may
add J images of the base class, each changed by at most eps per pixel, the trigger included, and
pastes the trigger on the target, at full contrast, when it is judged.
"""

from torch import Tensor

from poisoning.attacks.batch import CraftBatch, Surrogates
from poisoning.attacks.clean_label_backdoor import objective, perturb
from poisoning.attacks.report import Report
from poisoning.ops import projections
from poisoning.params import CleanLabelBackdoorReference

__all__ = ["craft", "objective"]


def craft(
    params: CleanLabelBackdoorReference, batch: CraftBatch, surrogates: Surrogates, report: Report
) -> Tensor:
    """Poisons [T, J, C, H, W] in [0, 1], stamped, then clipped."""
    assert batch.trigger is not None
    stamped = batch.trigger.stamp(perturb(params, batch, surrogates, report))
    return projections.linf(stamped, batch.bases, projections.radius(params.eps_255))
