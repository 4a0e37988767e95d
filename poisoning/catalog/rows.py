"""What a row of each catalogue says. No torch in here."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from poisoning import params

Budget = Literal["none", "linf", "linf_outside_trigger", "unbounded"]
Needs = Literal["nothing", "features", "classifier"]  # of its surrogates


class UnknownName(KeyError):
    """A name no catalogue has; says which ones come close."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        close = difflib.get_close_matches(name, self.known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(self.known)}"
        self.message = f"there is no {kind} named {name!r}; {hint}"
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Attack:
    """One attack. ``version`` enters every craft_hash: raise it when poisons would change."""

    name: str
    title: str
    short: str
    craft: str
    params: type[params.Knobs]
    budget: Budget
    needs: Needs  # "classifier": a surrogate that tells the victim's own classes apart
    paper: str
    url: str
    threat_model: str
    color: str  # Okabe-Ito, the same on every page and plot
    marker: str
    version: int = 1
    tags: tuple[str, ...] = ()
    variant_of: str | None = None  # the attack whose other published form it is

    @property
    def is_backdoor(self) -> bool:
        return issubclass(self.params, params.Triggered)


@dataclass(frozen=True)
class Regime:
    """How much of a victim is trained; ``train`` names its ``train_and_judge``. Where
    ``at_once`` the victims of many trials are one batched problem; else they come one by one.
    """

    name: str
    title: str
    short: str
    train: str
    params: type[params.Knobs]
    at_once: bool
    unit: str  # of its progress


@dataclass(frozen=True)
class Dataset:
    """One labelled data set with a train and a test split, images uint8 [N, C, H, W]."""

    name: str
    title: str
    classes: tuple[str, ...]
    image_size: int
    train_images: int
    test_images: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    load: str
    licence: str
    url: str
    folder: str | None = None  # sub-folder of the data folder that must exist; None: needs no files
    download: str | None = None  # who fetches it into the data folder; None: by hand
    default_train_size: int = 0
    default_poisons: int = 0


@dataclass(frozen=True)
class Model:
    """One architecture; ``build`` takes (num_classes, image_size)."""

    name: str
    title: str
    build: str
    feature_dim: int
    paper: str
    forward_mflop: float  # 2*MAC per image of the size it is for; for cost estimates
    image_size: int | None = None  # the only size it takes; None: any multiple of 32
    is_scalable: bool = False  # once built, takes any: it ends in a mean over all places
