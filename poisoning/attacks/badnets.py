"""BadNets, with clean labels.

Gu, Dolan-Gavitt and Garg, "BadNets: Identifying Vulnerabilities in the Machine Learning Model
Supply Chain", 2017, https://arxiv.org/abs/1708.06733.

Nothing is optimised: x = x_b with the trigger pasted in. The paper pastes it on images of other
classes and changes their labels; here the images are those of the base class and keep theirs, so
that poisons obey the rule of all other attacks here. What the victim may learn is that the
trigger goes with the base class, and the other marks of that class are there to be learned too.

Threat model: backdoor, clean label, the trigger in plain sight; the attacker knows nothing of the
victim, may add J images of the base class, and pastes the trigger on the target when it is judged.
"""

from torch import Tensor

from poisoning.attacks.batch import CraftBatch, Surrogates
from poisoning.attacks.report import Report
from poisoning.params import BadNets

objective = None


def craft(params: BadNets, batch: CraftBatch, surrogates: Surrogates, report: Report) -> Tensor:
    """The bases [T, J, C, H, W], stamped."""
    assert batch.trigger is not None
    report(1, 1, {})
    return batch.trigger.stamp(batch.bases)
