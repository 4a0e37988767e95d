"""What to run, whole: attack, victims, data, protocol, seed. Canonical JSON; hashes. No torch.

Two specs are the same experiment exactly when their ``spec_hash`` is the same. What does not
change a result (a title, a note, the study it came from) is not in here.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, Field, TypeAdapter, model_validator

from poisoning import catalog
from poisoning.params import AttackParams, Knobs, Triggered
from poisoning.renames import AUTO, Naming, Rule
from poisoning.victim_params import AnyVictim, CheckpointName, VictimSpec

Profile = Literal["smoke", "quick", "paper"]
Precision = Literal["exact", "fast"]
Access = Literal["white_box", "grey_box", "black_box"]
SAMPLED = "sampled"  # in a checkpoint's place: the one that the trial draws
BENCHMARK_SETUPS = {  # the benchmark's lists, and the data set each counts its images in
    "cifar10_transfer_learning": "cifar10",
    "cifar10_from_scratch": "cifar10",
    "tinyimagenet_transfer_learning": "tinyimagenet_last_half",
    "tinyimagenet_from_scratch": "tinyimagenet",
}


class DataSpec(Knobs):
    """Which images the victim trains on, how many of them are poisons, and who is attacked."""

    dataset: str = Field("cifar10", title="Data set", description="Name of a labelled data set.")
    train_size: int = Field(
        2500,
        ge=2,
        le=1_000_000,
        title="Training images",
        description="Size of the victim's training set, poisons included; the first n per class.",
    )
    poisons: int = Field(
        25,
        ge=1,
        le=100_000,
        title="Poisons",
        description="Poisoned images per trial, all of the base class.",
    )
    setups: str = Field(
        "drawn",
        title="Setups",
        description="'drawn' from the seed, or the name of one of the benchmark's lists.",
    )
    target_class: str | None = Field(
        None, title="Target class", description="Draw targets from this class only; empty: any."
    )
    base_class: str | None = Field(
        None, title="Base class", description="The class the attacker wants; empty: any other."
    )
    normalize: bool = Field(
        True,
        title="Normalise",
        description="Subtract the data set's mean, divide by its deviation.",
    )


class ExperimentSpec(Knobs):
    """One attack against a list of victims over N setups."""

    attack: AttackParams
    surrogates: tuple[CheckpointName, ...] = Field(
        (),
        max_length=32,
        title="Surrogates",
        description="Checkpoints the attacker crafts on; several make an ensemble.",
    )
    victims: Annotated[tuple[VictimSpec, ...], Field(min_length=1, max_length=16)]
    sampled_from: tuple[CheckpointName, ...] = Field(
        (),
        max_length=10,
        title="Sampled from",
        description="Checkpoints of which every trial draws one; 'sampled' in a surrogate's or a "
        "victim's place means that one.",
    )
    data: DataSpec = DataSpec()
    trials: int = Field(
        20, ge=1, le=10_000, title="Trials", description="How many setups are carried through."
    )
    seed: int = Field(
        0, ge=0, lt=2**31, title="Seed", description="Root of every random draw of the experiment."
    )
    profile: Profile = Field(
        "quick", title="Profile", description="How big: profiles never share a ranking."
    )
    precision: Precision = Field(
        "exact",
        title="Precision",
        description="exact: fp32. fast: bf16; an attack's card says where that is certified.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check_fit(self)
        return self

    def checkpoint_names(self) -> list[tuple[str, str]]:
        """Every checkpoint it needs: (dotted field, name), in the order of the fields."""
        named = [(f"surrogates.{i}", name) for i, name in enumerate(self.surrogates)]
        for i, victim in enumerate(self.victims):
            if (name := checkpoint_of(victim)) is not None:
                named.append((f"victims.{i}.checkpoint", name))
        drawn = [(f"sampled_from.{i}", name) for i, name in enumerate(self.sampled_from)]
        return [*(row for row in named if row[1] != SAMPLED), *drawn]

    def drawn_checkpoint(self, index: int) -> str | None:
        """Which of ``sampled_from`` trial ``index`` draws; None where there is nothing to draw."""
        if not self.sampled_from:
            return None
        return self.sampled_from[seed_for(self.seed, index, "sampled") % len(self.sampled_from)]

    def for_trial(self, index: int) -> "ExperimentSpec":
        """The spec with the checkpoint that trial ``index`` draws in the place of 'sampled'."""
        drawn = self.drawn_checkpoint(index)
        if drawn is None:
            return self
        plain = self.model_dump() | {"sampled_from": ()}
        plain["surrogates"] = [drawn if s == SAMPLED else s for s in self.surrogates]
        for victim in plain["victims"]:
            if victim.get("checkpoint") == SAMPLED:
                victim["checkpoint"] = drawn
        return ExperimentSpec.model_validate(plain)


def checkpoint_of(victim: AnyVictim) -> str | None:
    """The checkpoint a victim starts from; None where it starts from random weights."""
    return getattr(victim, "checkpoint", None)


def vary(spec: ExperimentSpec, changes: Mapping[str, Any]) -> ExperimentSpec:
    """The same experiment with some fields, by dotted path, changed; validated anew.

    ``{"data.poisons": 10, "victims.0.recipe.optimizer": "sgd"}``. Raises what validation raises,
    and KeyError or IndexError for a path that is not there.
    """
    raw = spec.model_dump(mode="json")
    for path, value in changes.items():
        *parents, last = path.split(".")
        place: Any = raw
        for name in parents:
            place = place[int(name)] if isinstance(place, list) else place[name]
        key: Any = int(last) if isinstance(place, list) else last
        place[key]  # must be there
        place[key] = value
    return ExperimentSpec.model_validate(raw)


class Adversarial(Knobs):
    """Adversarial training (Madry et al. 2018): every batch is attacked by PGD first."""

    eps_255: float = Field(8, gt=0, le=255, title="Budget eps", description="In steps of 1/255.")
    steps: int = Field(7, ge=1, le=100, title="Steps", description="PGD steps per batch.")
    step_size_255: float = Field(
        2.0, gt=0, le=255, title="Step size", description="Of one signed step, in 1/255."
    )


class PretrainSpec(Knobs):
    """How an extractor is pretrained; the defaults are the benchmark's recipe (A9)."""

    model: str = Field("resnet18", title="Model", description="Name of an architecture.")
    dataset: str = Field("cifar100", title="Data set", description="What it is trained on.")
    epochs: int = Field(200, ge=1, le=2000, title="Epochs")
    batch_size: int = Field(128, ge=1, le=8192, title="Batch size")
    optimizer: Literal["sgd", "adam"] = Field(
        "sgd", title="Optimiser", description="SGD with momentum, or Adam."
    )
    learning_rate: float = Field(0.01, gt=0, title="Learning rate")
    schedule: Literal["steps", "one_cycle"] = Field("steps", title="Schedule")
    drop_epochs: tuple[int, ...] = Field((100, 150), title="Drop epochs")
    momentum: float = Field(0.9, ge=0, lt=1, title="Momentum")
    nesterov: bool = Field(False, title="Nesterov")
    weight_decay: float = Field(2e-4, ge=0, title="Weight decay")
    augment: bool = Field(False, title="Augment", description="Random crop and flip.")
    normalize: bool = Field(True, title="Normalise")
    sizes: tuple[Annotated[int, Field(ge=8)], ...] = Field(
        (),
        title="Sizes",
        description="Pixels a side that images are scaled to in equal shares of the epochs; none: "
        "as they are.",
    )
    precision: Precision = Field("exact", title="Precision")
    adversarial: Adversarial | None = Field(
        None, title="Adversarial", description="Train on PGD's images instead of clean ones."
    )
    seed: int = Field(0, ge=0, lt=2**31, title="Seed")

    @model_validator(mode="after")
    def _known(self) -> Self:
        model, dataset = _network(self.model, self.dataset)
        if self.sizes and not model.is_scalable:
            raise FieldError(
                "sizes", f"{model.title} takes images as they are; leave it empty or choose another"
            )
        if any(size > dataset.image_size for size in self.sizes):
            raise FieldError(
                "sizes", f"images of {dataset.title} have {dataset.image_size} pixels; scale down"
            )
        return self


class AdoptSpec(Knobs):
    """How weights that were trained elsewhere are read: which network, what its tensors are
    called, and which file. There is no recipe: how they were trained is not known.
    """

    precision: ClassVar[Precision] = "exact"  # they are judged in
    model: str = Field(title="Model", description="Name of the architecture.")
    dataset: str = Field(title="Data set", description="What it was trained on.")
    naming: Naming = Field(
        AUTO,
        title="Naming",
        description="What its tensors are called; auto: the first known naming that fits exactly.",
    )
    renames: tuple[Rule, ...] = Field(
        (), max_length=32, title="Renames", description="PATTERN=REPLACEMENT, before the naming."
    )
    filename: str = Field(min_length=1, max_length=200, title="File")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of the file.")

    @model_validator(mode="after")
    def _known(self) -> Self:
        _network(self.model, self.dataset)
        return self


CHECKPOINT_SPEC: TypeAdapter[PretrainSpec | AdoptSpec] = TypeAdapter(PretrainSpec | AdoptSpec)


class FieldError(ValueError):
    """A value that cannot be, with the dotted path of its field and what to do about it."""

    def __init__(self, field: str, message: str, remedy: str | None = None) -> None:
        self.field, self.message, self.remedy = field, message, remedy
        super().__init__(f"{field}: {message}")


def _known(field: str, lookup: Any, name: str) -> Any:
    try:
        return lookup(name)
    except catalog.UnknownName as error:
        raise FieldError(field, str(error)) from None


def check_fit(spec: ExperimentSpec) -> None:
    """Refuse what no single field can see: combinations that cannot run."""
    data = _known("data.dataset", catalog.dataset, spec.data.dataset)
    per_class = spec.data.train_size // len(data.classes)
    if spec.data.train_size < len(data.classes):
        raise FieldError(
            "data.train_size",
            f"needs at least one image for each of {len(data.classes)} classes",
            "raise it",
        )
    if data.train_images and spec.data.train_size > data.train_images:
        raise FieldError(
            "data.train_size",
            f"{data.title} has {data.train_images:,} training images, not {spec.data.train_size:,}",
            "lower it",
        )
    if spec.data.poisons > per_class:
        raise FieldError(
            "data.poisons",
            f"{spec.data.poisons} poisons do not fit into the base class's {per_class} of "
            f"{spec.data.train_size} training images; lower it or raise data.train_size",
        )
    if spec.data.setups != "drawn" and spec.data.setups not in BENCHMARK_SETUPS:
        known = ", ".join(("drawn", *BENCHMARK_SETUPS))
        raise FieldError(
            "data.setups", f"there is no list named {spec.data.setups!r}; known: {known}"
        )
    belongs_to = BENCHMARK_SETUPS.get(spec.data.setups, spec.data.dataset)
    if spec.data.dataset != belongs_to:
        raise FieldError(
            "data.setups",
            f"{spec.data.setups} belongs to {belongs_to}",
            "choose that data set, or setups drawn from the seed",
        )
    if spec.data.setups != "drawn" and spec.trials > 100:
        raise FieldError("trials", "the benchmark's lists have 100 setups; ask for 100 or fewer")
    for field in ("target_class", "base_class"):
        name = getattr(spec.data, field)
        if name is not None and name not in data.classes:
            raise FieldError(
                f"data.{field}",
                f"{data.title} has no class {name!r}; known: {', '.join(data.classes)}",
            )
        if name is not None and spec.data.setups != "drawn":
            raise FieldError(f"data.{field}", "the benchmark's list fixes it; leave it empty")
    if spec.data.base_class is not None and spec.data.base_class == spec.data.target_class:
        raise FieldError(
            "data.base_class",
            "is the target class; the attacker must want another class",
            "choose another class, or leave it empty",
        )
    if catalog.attack(spec.attack.name).needs != "nothing" and not spec.surrogates:
        raise FieldError("surrogates", "this attack crafts on a surrogate; name at least one")
    if len(set(spec.surrogates)) != len(spec.surrogates):
        raise FieldError("surrogates", "the same checkpoint stands twice", "leave one out")
    _check_trigger(spec, data)
    _check_sampled(spec)
    for number, victim in enumerate(spec.victims):
        _check_victim(f"victims.{number}", victim, data)


def _check_trigger(spec: ExperimentSpec, data: catalog.Dataset) -> None:
    attack = spec.attack
    if isinstance(attack, Triggered) and attack.patch_size + attack.inset > data.image_size:
        raise FieldError(
            "attack.patch_size",
            f"a patch of {attack.patch_size} px, {attack.inset} px from the edge, does not fit "
            f"into images of {data.image_size} px",
            "lower it, or attack.inset",
        )


def _check_sampled(spec: ExperimentSpec) -> None:
    is_used = SAMPLED in (*spec.surrogates, *(checkpoint_of(v) for v in spec.victims))
    if is_used and not spec.sampled_from:
        raise FieldError(
            "sampled_from", f"{SAMPLED!r} stands for a checkpoint, but of which?", "name some"
        )
    if spec.sampled_from and not is_used:
        raise FieldError(
            "sampled_from",
            "no surrogate and no victim is drawn from these",
            f"write {SAMPLED!r} where the drawn one belongs, or leave it empty",
        )
    if len(set(spec.sampled_from)) != len(spec.sampled_from):
        raise FieldError("sampled_from", "the same checkpoint stands twice", "leave one out")
    if SAMPLED in spec.sampled_from:
        raise FieldError("sampled_from", f"{SAMPLED!r} is no checkpoint", "leave it out")


def _check_victim(field: str, victim: AnyVictim, data: catalog.Dataset) -> None:
    if victim.regime == "from_scratch":
        model = _known(f"{field}.model", catalog.model, victim.model)
        if model.image_size not in (None, data.image_size):
            raise FieldError(
                f"{field}.model",
                f"{model.title} takes images of {model.image_size} px; {data.title} has "
                f"{data.image_size}",
                "choose another model",
            )


def _network(model_name: str, dataset_name: str) -> tuple[catalog.Model, catalog.Dataset]:
    """A network and what it is trained on, which has to have images it takes."""
    model = _known("model", catalog.model, model_name)
    dataset = _known("dataset", catalog.dataset, dataset_name)
    if model.image_size not in (None, dataset.image_size):
        raise FieldError(
            "model",
            f"{model.title} takes images of {model.image_size} pixels; {dataset.title} has "
            f"{dataset.image_size}",
        )
    return model, dataset


# --- identity ---------------------------------------------------------------------------------


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, models dumped whole."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: Any) -> str:
    """sha256, in hex, of the canonical JSON of a value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def spec_hash(spec: ExperimentSpec | PretrainSpec) -> str:
    return digest(spec)


def seed_for(root: int, setup: int | str, name: str) -> int:
    """The seed of one named draw: 63 bits of a hash of (root, setup, name).

    Adding a knob or changing the batching therefore moves no other draw.
    """
    text = f"{root}\x00{setup}\x00{name}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
