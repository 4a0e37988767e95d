"""Architectures by their names in the catalogue."""

import torch

from poisoning import catalog
from poisoning.models.network import Network

__all__ = ["Network", "build"]


def build(name: str, num_classes: int, image_size: int = 32, seed: int | None = None) -> Network:
    """A fresh network, its weights drawn from ``seed`` (None: from torch's global state).

    Raises UnknownName.
    """
    function = catalog.resolve(catalog.model(name).build)
    if seed is None:
        return function(num_classes, image_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return function(num_classes, image_size)
