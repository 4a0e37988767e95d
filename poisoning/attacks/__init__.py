"""Attacks: one file each, named as in the catalogue, that reads like its paper.

A file offers ``craft``, which makes the poisons of a batch of trials, and ``objective``, what it
lowers (None: the attack optimises nothing). An attack sees its knobs, a ``CraftBatch`` and the
``Surrogates``, and nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torch import Tensor

from poisoning import catalog
from poisoning.attacks.batch import CraftBatch, Surrogates
from poisoning.attacks.report import Report

Craft = Callable[[Any, CraftBatch, Surrogates, Report], Tensor]  # -> [T, J, C, H, W]
Objective = Callable[[Any, CraftBatch, Surrogates, Tensor], Tensor]  # of poisons -> [T]


@dataclass(frozen=True)
class Attack:
    craft: Craft
    objective: Objective | None


def load(name: str) -> Attack:
    """The code behind a row of the catalogue. Raises UnknownName."""
    module, _, function = catalog.attack(name).craft.partition(":")
    found = import_module(module)
    return Attack(getattr(found, function), found.objective)
