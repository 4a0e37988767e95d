"""A bench for victims: digits, tiny networks by name, no job around them."""

import copy
from functools import cached_property
from pathlib import Path

import torch

from poisoning.cache import Cache
from poisoning.data import LoadedDataset
from poisoning.models import Network
from poisoning.spec import DataSpec
from poisoning.victims import VictimBatch
from poisoning.victims.features import FeatureTable
from tests.poisoning import tiny


class Bench:
    """As ``poisoning.inputs.Inputs``, with tiny untrained networks as checkpoints."""

    def __init__(self, digits: LoadedDataset, folder: Path, cache: Path | None = None, **table):
        self.data, self.device, self.precision = digits, tiny.CPU, "exact"
        self.data_spec = DataSpec(dataset="digits_5_9", train_size=60, poisons=4)
        self.mean, self.std = tiny.MEAN, tiny.STD
        self.work_dir, self.cache = folder, Cache(cache)
        self.limits = table

    @cached_property
    def features(self) -> FeatureTable:
        net = tiny.plain_net()
        return FeatureTable(
            net, self.data, tiny.MEAN, tiny.STD, tiny.CPU, cache=self.cache, **self.limits
        )

    def table(self, name: str) -> FeatureTable:
        return self.features

    def network(self, name: str) -> Network:
        return copy.deepcopy(tiny.NETS[name]())


def victim_batch(digits, trials=3, poisons=4, clean=60, indices=None) -> VictimBatch:
    """Poisons are their bases with noise; the first trial's are their bases."""
    generator = torch.Generator().manual_seed(0)
    base_labels, base_indices, kept = [], [], []
    for t in range(trials):
        label = (int(digits.test.labels[t]) + 1) % 5
        bases = torch.where(digits.train.labels == label)[0][10 * t : 10 * t + poisons]
        free = torch.tensor([i for i in range(t, 300) if i not in set(bases.tolist())])
        base_labels.append(label)
        base_indices.append(bases)
        kept.append(free[:clean])
    base_indices = torch.stack(base_indices)
    originals = digits.train.images[base_indices].to(torch.int16)
    noise = torch.randint(-32, 33, originals.shape, generator=generator, dtype=torch.int16)
    noise[0] = 0
    return VictimBatch(
        seed=5,
        indices=tuple(indices or range(trials)),
        clean=torch.stack(kept),
        base_indices=base_indices,
        poisons=(originals + noise).clamp(0, 255).to(torch.uint8),
        base_labels=torch.tensor(base_labels),
        targets=digits.test.images[:trials],
        target_labels=digits.test.labels[:trials],
    )
