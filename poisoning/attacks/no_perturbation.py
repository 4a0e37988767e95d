"""No perturbation: the control.

The poisons are the base images themselves, so whatever a victim then says of the target, it says
without any attack. Its outcome equals its twin's, trial by trial.

Threat model: none.
"""

from torch import Tensor

from poisoning.attacks.batch import CraftBatch, Surrogates
from poisoning.attacks.report import Report
from poisoning.params import NoPerturbation

objective = None


def craft(
    params: NoPerturbation, batch: CraftBatch, surrogates: Surrogates, report: Report
) -> Tensor:
    """The bases [T, J, C, H, W], unchanged."""
    report(1, 1, {})
    return batch.bases.clone()
