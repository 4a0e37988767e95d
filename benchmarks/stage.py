"""What is measured on: images, a network that has learned a little, batches of trials."""

import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from poisoning import catalog, data, params, shipped
from poisoning.attacks.batch import CraftBatch, Surrogates
from poisoning.data import LoadedDataset, Split
from poisoning.data.augment import normalize
from poisoning.models import Network, build, store
from poisoning.ops import triggers
from poisoning.spec import Precision

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Size:
    """How big: ``toy`` shows that the suite works, ``normal`` is what is reported."""

    name: str
    dataset: str
    rounds: int
    net: str  # surrogate and frozen extractor
    warm_up: int  # steps it learns first
    poisons: int
    steps: int  # of an attack per round
    alone: int  # poisons that the one-by-one way is timed on
    pairs: tuple[int, ...]  # sizes of HTBD's pairing
    problems: int  # simplex problems at once
    images: int  # through crop, flip, normalise
    batch_size: int  # of a training step
    learners: tuple[str, ...]
    frozen_net: str
    frozen_trials: int
    frozen_images: int  # of each training set, poisons included
    frozen_epochs: int
    growth_trials: tuple[int, ...] = (1, 10, 100)
    growth_poisons: tuple[int, ...] = (25, 100, 500)
    growth_surrogates: tuple[int, ...] = (1, 2, 4)


NORMAL = Size(
    name="normal", dataset="cifar10", rounds=5, net="resnet18", warm_up=10, poisons=25, steps=2,
    alone=2, pairs=(25, 500), problems=42, images=500, batch_size=32,
    learners=("resnet18", "vgg11", "mobilenet_v2"), frozen_net="resnet18_w16", frozen_trials=10,
    frozen_images=200, frozen_epochs=40,
)  # fmt: skip
FULL = Size(
    name="full", dataset="cifar10", rounds=7, net="resnet18", warm_up=60, poisons=25, steps=8,
    alone=5, pairs=(25, 500), problems=336, images=2500, batch_size=128,
    learners=("resnet18", "vgg11", "mobilenet_v2"), frozen_net="resnet18", frozen_trials=10,
    frozen_images=2500, frozen_epochs=40,
)  # fmt: skip
TOY = Size(
    name="toy", dataset="digits_5_9", rounds=1, net="resnet6_w16", warm_up=2, poisons=3, steps=2,
    alone=2, pairs=(4, 9), problems=3, images=8, batch_size=8, learners=("convnet3",),
    frozen_net="convnet3", frozen_trials=2, frozen_images=20, frozen_epochs=2,
    growth_trials=(1, 2), growth_poisons=(2, 4), growth_surrogates=(1, 2),
)  # fmt: skip
SIZES = {size.name: size for size in (NORMAL, FULL, TOY)}


class Stage:
    """Everything a comparison is made on, the same for both of its sides."""

    def __init__(self, size: Size, data_dir: str | Path) -> None:
        self.size = size
        try:
            self.data, self.is_stand_in = data.load(size.dataset, data_dir), False
        except data.DataMissing:
            self.data, self.is_stand_in = stand_in(size.dataset), True
        row = self.data.spec
        self.mean, self.std = row.mean, row.std
        self.shift = torch.tensor(self.mean).view(1, -1, 1, 1)
        self.scale = torch.tensor(self.std).view(1, -1, 1, 1)

    def normalized(self, x: Tensor) -> Tensor:
        """Pixels in [0, 1] [N, C, H, W], as the networks take them."""
        return (x - self.shift) / self.scale

    def fresh(self, model: str, seed: int = 0) -> Network:
        spec = self.data.spec
        return build(model, len(spec.classes), spec.image_size, seed=seed)

    def learned(self, model: str) -> Network:
        """One that comes with the project and takes these images; a fresh one where none does."""
        for path in sorted(shipped.FOLDER.glob(f"{model}-*-s0.safetensors")):
            if store.read_card(path).image_size == self.data.spec.image_size:
                return store.load(path)[0]
        return self.fresh(model)

    @cached_property
    def net(self) -> Network:
        """Knows a little: random features have no directions worth following."""
        net, train = self.fresh(self.size.net), self.data.train
        optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
        net.train()
        for part in order.split(64)[: self.size.warm_up]:
            logits = net(normalize(train.images[part], self.mean, self.std))
            optimizer.zero_grad()
            functional.cross_entropy(logits, train.labels[part]).backward()
            optimizer.step()
        return net.eval()

    def plain_net(self) -> Network:
        """As a script has it after loading: contiguous, every parameter wants its gradient."""
        return copy.deepcopy(self.net)

    def surrogates(self, precision: Precision = "exact") -> Surrogates:
        return Surrogates([copy.deepcopy(self.net)], self.mean, self.std, CPU, precision)

    def batch(self, trials: int = 1, poisons: int | None = None) -> CraftBatch:
        """Trial t attacks test image t with images of the next class."""
        poisons, train = poisons or self.size.poisons, self.data.train
        labels, classes = self.data.test.labels[:trials], len(self.data.spec.classes)
        base_labels = (labels + 1) % classes
        return CraftBatch(
            bases=torch.stack([_of_class(train, int(y), poisons) for y in base_labels]) / 255,
            targets=self.data.test.images[:trials, None] / 255,
            base_labels=base_labels,
            target_labels=labels,
            generators=tuple(torch.Generator().manual_seed(t) for t in range(trials)),
            mean=self.mean,
            std=self.std,
            sources=torch.stack([_of_class(train, int(y), poisons) for y in labels]) / 255,
            trigger=triggers.make(params.HiddenTriggerBackdoor(), self.data.spec.image_size, 0),
        )


def _of_class(split: Split, label: int, count: int) -> Tensor:
    """The first images of a class, over again where there are too few of them."""
    found = torch.where(split.labels == label)[0]
    return split.images[found[torch.arange(count) % len(found)]]


def stand_in(name: str) -> LoadedDataset:
    """Smooth noise of a data set's shape, where its files are missing."""
    spec = catalog.dataset(name)
    generator = torch.Generator().manual_seed(0)

    def split(count: int) -> Split:
        coarse = torch.rand(count, 3, 8, 8, generator=generator)
        images = functional.interpolate(coarse, size=(spec.image_size,) * 2, mode="bilinear")
        labels = torch.arange(count) % len(spec.classes)
        return Split((images * 255).round().to(torch.uint8), labels)

    return LoadedDataset(spec, split(6000), split(1000))
