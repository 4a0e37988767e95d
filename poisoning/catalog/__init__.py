"""What exists by name: attacks, data sets, models, regimes. No torch in here.

A row holds what a page or a form needs to know and, as a lazy ``"module:function"`` string, where
the code is; only the process that runs an experiment ever resolves it.
"""

from importlib import import_module
from typing import Any

from poisoning.catalog import attacks, datasets, networks, regimes
from poisoning.catalog.attacks import GRADIENT_MATCHING
from poisoning.catalog.rows import Attack, Budget, Dataset, Model, Needs, Regime, UnknownName

__all__ = [
    "GRADIENT_MATCHING",
    "Attack",
    "Budget",
    "Dataset",
    "Model",
    "Needs",
    "Regime",
    "UnknownName",
]


def _by_name(rows: Any) -> Any:
    table = {row.name: row for row in rows}
    if len(table) != len(rows):
        raise ValueError("a name stands twice in a catalogue")
    return table


ATTACKS: dict[str, Attack] = _by_name(attacks.ATTACKS)
DATASETS: dict[str, Dataset] = _by_name(datasets.DATASETS)
MODELS: dict[str, Model] = _by_name(networks.MODELS)
REGIMES: dict[str, Regime] = _by_name(regimes.REGIMES)


def find(kind: str, table: dict[str, Any], name: str) -> Any:
    """The row named ``name``; UnknownName with a suggestion where there is none."""
    try:
        return table[name]
    except KeyError:
        raise UnknownName(kind, name, table) from None


def attack(name: str) -> Attack:
    return find("attack", ATTACKS, name)


def dataset(name: str) -> Dataset:
    return find("data set", DATASETS, name)


def model(name: str) -> Model:
    return find("model", MODELS, name)


def regime(name: str) -> Regime:
    return find("regime", REGIMES, name)


def resolve(target: str) -> Any:
    """The object a ``"module:name"`` string points to."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
