"""Hidden-Trigger Backdoor as the benchmark's code runs it.

Saha, Subramanya and Pirsiavash, "Hidden Trigger Backdoor Attacks", AAAI 2020,
https://arxiv.org/abs/1910.00033, in the form behind the numbers of "Just How Toxic is Data
Poisoning?", ICML 2021, https://arxiv.org/abs/2006.12557.

Objective, over the poisons x_1..x_J of one trial, m surrogates f_i, and J images s_1..s_J of the
target class with the trigger pasted in, as in the paper:

    min_x  L(x) = sum_i sum_j || f_i(x_j) - f_i(s_p(j)) ||_2^2
    s.t.   || x_j - x_b_j ||_inf <= eps,  0 <= x_j <= 1

What departs from the paper is p. The code takes the smallest distance J times, but after each
crosses out one cell of the matrix where the paper means a row and a column. So bases share
sources; a base that has several of the J smallest cells goes to the farthest of them; one that
has none stays with the source it had. And the sources are written over: one that no base is drawn
to in some step is lost to all later steps.

Threat model: backdoor, clean label, and no poison shows the trigger; the attacker knows the
victim's extractor or one like it, may add J images of the base class, each changed by at most eps
per pixel, and pastes the trigger on the target when it is judged.
"""

from torch import Tensor

from poisoning.attacks.batch import CraftBatch, Surrogates
from poisoning.attacks.hidden_trigger_backdoor import descend, paired_distance
from poisoning.attacks.report import Report
from poisoning.ops import pairing
from poisoning.params import HiddenTriggerBackdoorReference


def craft(
    params: HiddenTriggerBackdoorReference,
    batch: CraftBatch,
    surrogates: Surrogates,
    report: Report,
) -> Tensor:
    """Poisons [T, J, C, H, W] in [0, 1]."""
    return descend(params, batch, surrogates, report, pairing.smallest_cells)


def objective(
    params: HiddenTriggerBackdoorReference,
    batch: CraftBatch,
    surrogates: Surrogates,
    poisons: Tensor,
) -> Tensor:
    """L of each trial, under the code's first pairing of these poisons, [T]."""
    return paired_distance(batch, surrogates, poisons, pairing.smallest_cells)
