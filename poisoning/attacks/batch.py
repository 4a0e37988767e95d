"""What an attack may see: the trials of a batch, and the networks it crafts on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor, nn

from poisoning import devices
from poisoning.models import Network
from poisoning.models.extractor import freeze, quickened
from poisoning.ops.triggers import Trigger
from poisoning.spec import Precision

T = TypeVar("T")
Constants = tuple[float, ...]  # one per channel
Generators = tuple[torch.Generator, ...]  # one per trial, on the CPU


@dataclass(frozen=True)
class CraftBatch:
    """T trials that are crafted at once. Pixels are in [0, 1]; V views of a target, mostly 1.

    Every random draw of trial t comes from ``generators[t]``, so that no trial depends on those
    it happens to be batched with.
    """

    bases: Tensor  # [T, J, C, H, W]
    targets: Tensor  # [T, V, C, H, W]
    base_labels: Tensor  # int64 [T]
    target_labels: Tensor  # int64 [T]
    generators: Generators  # T of them
    mean: Constants  # of the victim's data set: what an optimiser in normalised units needs
    std: Constants
    sources: Tensor | None = None  # [T, J, C, H, W], images of the target class
    trigger: Trigger | None = None

    def __len__(self) -> int:
        return len(self.bases)

    def trial(self, t: int) -> "CraftBatch":
        """Trial ``t`` alone, T = 1."""
        only = slice(t, t + 1)
        return CraftBatch(
            self.bases[only],
            self.targets[only],
            self.base_labels[only],
            self.target_labels[only],
            self.generators[only],
            self.mean,
            self.std,
            None if self.sources is None else self.sources[only],
            self.trigger,
        )


class Surrogates:
    """1..K frozen networks: eval mode, no parameter gradients, channels last.

    They take images in [0, 1] and normalise them. What they return is float32 and can be
    differentiated by the images. Where ``draw`` is given, dropout acts, with masks of its own for
    each trial's share of the rows; otherwise it does not.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        mean: Constants,
        std: Constants,
        device: torch.device,
        precision: Precision = "exact",
    ) -> None:
        self.networks = [freeze(net, device) for net in networks]
        self.dropouts = [_draw_dropout(net) for net in self.networks]
        self.device, self.precision = device, precision
        self.mean = torch.tensor(mean, device=device).view(1, -1, 1, 1)
        self.std = torch.tensor(std, device=device).view(1, -1, 1, 1)

    def __len__(self) -> int:
        return len(self.networks)

    @property
    def has_dropout(self) -> bool:
        return any(self.dropouts)

    @cached_property
    def _quick(self) -> list[Network]:
        """What is computed with; made when first used, since who differentiates by parameters
        never does.
        """
        return [quickened(net, self.precision) for net in self.networks]

    @cached_property
    def _drawn(self) -> list["DrawnDropout"]:
        modules = (module for net in self._quick for module in net.modules())
        return [module for module in modules if isinstance(module, DrawnDropout)]

    def features(self, x: Tensor, draw: Generators = ()) -> list[Tensor]:
        """Penultimate features [N, D_k] of images [N, C, H, W], for each of the K networks."""
        return self._each(lambda net, z: net.features(z).float(), x, draw)

    def block_features(self, x: Tensor, draw: Generators = ()) -> list[list[Tensor]]:
        """The output of every stage of every network, flat: [N, D_kb]."""
        return self._each(
            lambda net, z: [f.flatten(1).float() for f in net.block_features(z)], x, draw
        )

    def logits(self, x: Tensor, draw: Generators = ()) -> list[Tensor]:
        """Logits [N, classes of the surrogate] of images [N, C, H, W], for each network."""
        return self._each(lambda net, z: net(z).float(), x, draw)

    def _each(
        self, function: Callable[[Network, Tensor], T], x: Tensor, draw: Generators
    ) -> list[T]:
        z = ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        for dropout in self._drawn:
            dropout.generators = draw
        with devices.autocast(self.device, self.precision):
            return [function(net, z) for net in self._quick]


@torch.no_grad()
def target_features(batch: CraftBatch, surrogates: Surrogates) -> list[Tensor]:
    """Features of each trial's target, averaged over its views: K of [T, D_k]."""
    features = surrogates.features(batch.targets.flatten(0, 1))
    return [f.unflatten(0, (len(batch), -1)).mean(1) for f in features]


class DrawnDropout(nn.Module):
    """Dropout whose masks come from one generator per trial; without any it does nothing."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.generators: Generators = ()

    def forward(self, x: Tensor) -> Tensor:
        if not self.generators:
            return x
        shape = (len(x) // len(self.generators), *x.shape[1:])
        kept = torch.cat([torch.rand(shape, generator=g) >= self.p for g in self.generators])
        return x * kept.to(x) / (1 - self.p)


def _draw_dropout(net: nn.Module) -> list[DrawnDropout]:
    """Put DrawnDropout in the place of every dropout of a frozen network; what stands there."""
    found = []
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout):
                child = DrawnDropout(child.p)
                module.add_module(name, child)
            if isinstance(child, DrawnDropout):
                found.append(child)
    return found
