"""Victims: one file for each regime, and what all of them are given and give back."""

from dataclasses import dataclass

import torch
from torch import Tensor

from poisoning.events import Judged
from poisoning.ops.triggers import Trigger
from poisoning.spec import seed_for


@dataclass(frozen=True)
class VictimBatch:
    """T poisoned training sets of N images: N - J clean ones, then J poisons.

    The twin's set has the base originals in the poisons' places. Both are trained with the same
    draws. Everything is on the CPU.
    """

    seed: int  # root of the experiment
    indices: tuple[int, ...]  # T numbers of trials
    clean: Tensor  # int64 [T, N - J], into the train split
    base_indices: Tensor  # int64 [T, J], into the train split
    poisons: Tensor  # uint8 [T, J, C, H, W]
    base_labels: Tensor  # int64 [T]
    targets: Tensor  # uint8 [T, C, H, W], with the trigger on where there is one
    target_labels: Tensor  # int64 [T]
    trigger: Trigger | None = None  # in uint8

    def __len__(self) -> int:
        return len(self.indices)

    def generator(self, t: int, name: str) -> torch.Generator:
        """The draws of trial ``t`` that go by this name, the same for every victim."""
        return torch.Generator().manual_seed(seed_for(self.seed, self.indices[t], f"victim/{name}"))

    def shared_generator(self, name: str) -> torch.Generator:
        """Draws that all trials of the experiment have in common."""
        return torch.Generator().manual_seed(seed_for(self.seed, "all", f"victim/{name}"))


@dataclass(frozen=True)
class Verdict:
    """One trial on one victim, and its twin."""

    poisoned: Judged
    twin: Judged


def judge(logits: Tensor, base_label: int, clean_accuracy: float) -> Judged:
    """What a victim says of the target: its ``logits`` [classes] after the last epoch."""
    base = logits[base_label]
    others = torch.cat([logits[:base_label], logits[base_label + 1 :]])
    return Judged(
        prediction=int(logits.argmax()),
        confidence=float(logits.softmax(0)[base_label]),
        margin=float(base - others.max()),
        clean_accuracy=clean_accuracy,
    )
