"""Where a measurement stands: short keys of what has to be equal for two to be put together.

Specs never change once launched, so the keys are computed once and stored beside the counts.
"""

from typing import Any

from poisoning import catalog
from poisoning.spec import SAMPLED, digest

LENGTH = 16
Spec = dict[str, Any]


def key(value: Any) -> str:
    return digest(value)[:LENGTH]


def series(spec: Spec) -> str:
    """The same for experiments that differ only in their seed."""
    return key({name: value for name, value in spec.items() if name != "seed"})


def regimes(spec: Spec) -> str:
    """The regimes of an experiment's victims, by name, with commas between them."""
    return ",".join(sorted({victim["regime"] for victim in spec["victims"]}))


def board(spec: Spec, victim: int) -> str:
    """The protocol: what has to be equal for two outcomes to be compared."""
    its = spec["victims"][victim]
    return key(
        {
            "data": spec["data"],
            "regime": its["regime"],
            "recipe": its.get("recipe"),
            "profile": spec["profile"],
            "precision": spec["precision"],
        }
    )


def row(spec: Spec) -> str:
    """The attack with its knobs and what it crafted on; a control crafts on nothing."""
    surrogates: Any = sorted(spec["surrogates"])
    if is_control(spec["attack"]["name"]):
        surrogates = []
    return key([spec["attack"], _drawn(spec, surrogates, surrogates)])


def column(spec: Spec, victim: int) -> str:
    """What a victim is, whatever a published column calls it."""
    its = {name: value for name, value in spec["victims"][victim].items() if name != "label"}
    return key(_drawn(spec, its, [its.get("checkpoint")]))


def is_control(attack: str) -> bool:
    known = catalog.ATTACKS.get(attack)
    return known is not None and "control" in known.tags


def _drawn(spec: Spec, value: Any, checkpoints: list[str | None]) -> Any:
    """A name that stands for a drawn checkpoint says nothing without those it is drawn from."""
    return [value, sorted(spec["sampled_from"])] if SAMPLED in checkpoints else value
