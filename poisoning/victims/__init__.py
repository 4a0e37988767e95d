"""Victims: one file for each regime, and what all of them are given and give back."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from poisoning.cache import Cache
from poisoning.data import LoadedDataset
from poisoning.events import Explanation, Extras, Judged, Message
from poisoning.models import Network
from poisoning.ops.triggers import Trigger
from poisoning.spec import DataSpec, Precision, seed_for

if TYPE_CHECKING:
    from poisoning.victims.features import FeatureTable


class Bench(Protocol):
    """What victims are trained on; ``poisoning.inputs.Inputs`` is one."""

    @property
    def data(self) -> LoadedDataset: ...
    @property
    def data_spec(self) -> DataSpec: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def mean(self) -> tuple[float, ...]: ...
    @property
    def std(self) -> tuple[float, ...]: ...
    @property
    def precision(self) -> Precision: ...
    @property
    def cache(self) -> Cache: ...
    @property
    def work_dir(self) -> Path: ...

    def table(self, name: str) -> "FeatureTable":
        """Features under a checkpoint, shared by all trials."""
        ...

    def network(self, name: str) -> Network:
        """A checkpoint's network, to be changed at will."""
        ...


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
    targets: Tensor  # uint8 [T, C, H, W], without the trigger
    target_labels: Tensor  # int64 [T]
    trigger: Trigger | None = None  # in uint8

    def __len__(self) -> int:
        return len(self.indices)

    def only(self, t: int) -> "VictimBatch":
        """Trial ``t`` alone, T = 1."""
        part = slice(t, t + 1)
        return VictimBatch(
            self.seed,
            self.indices[part],
            self.clean[part],
            self.base_indices[part],
            self.poisons[part],
            self.base_labels[part],
            self.targets[part],
            self.target_labels[part],
            self.trigger,
        )

    def generator(self, t: int, name: str) -> torch.Generator:
        """The draws of trial ``t`` that go by this name, the same for every victim."""
        return torch.Generator().manual_seed(self.seed_of(t, name))

    def seed_of(self, t: int, name: str) -> int:
        return seed_for(self.seed, self.indices[t], f"victim/{name}")

    def shared_generator(self, name: str) -> torch.Generator:
        """Draws that all trials of the experiment have in common."""
        return torch.Generator().manual_seed(seed_for(self.seed, "all", f"victim/{name}"))


class Verdict(Message):
    """One trial on one victim, and its twin."""

    poisoned: Judged
    twin: Judged
    extras: Extras = Extras()
    explanation: Explanation | None = None
