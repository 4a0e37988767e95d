"""How big a study is run: smoke, quick or paper. A paper's spec, made smaller by one rule.

Smoke checks that everything works, on digits and small networks, in seconds to minutes; its rates
mean nothing and stand beside no published one. Quick keeps data sets and architectures, with fewer
trials and shorter trainings. Paper is the published setting. Profiles never share a table.

No torch in here.
"""

from dataclasses import dataclass
from typing import Any

from poisoning.recipes import RECIPES, brief
from poisoning.spec import SAMPLED, DataSpec, ExperimentSpec, Profile, checkpoint_of
from poisoning.victim_params import AnyVictim, Recipe


@dataclass(frozen=True)
class Scale:
    """One profile. ``None``: as published."""

    trials: int | None
    steps: int | None  # of crafting, at most
    epochs: int | None  # of a victim's training, at most
    end_to_end_epochs: int | None  # where all of it is trained from a checkpoint on, at most
    restarts: int | None
    checkpoints: int | None  # of those a trial draws from, at most
    victims: str
    data: str
    is_shown_beside_published: bool
    is_compared: bool


SCALES: dict[Profile, Scale] = {
    "smoke": Scale(
        5, 20, 10, 10, 1, 2, "stand-ins of the same building blocks, 8 wide",
        "digits, or seven classes of Tiny ImageNet: 25 to 250 images", False, False,
    ),
    "quick": Scale(
        20, 250, 16, 2, 1, 2,
        "as published, one of them end to end; checkpoints of 8 to 12 epochs",
        "as published up to 5,000 images, a tenth of what is larger; setups drawn", True, False,
    ),
    "paper": Scale(None, None, None, None, None, None, "as published", "as published", True, True),
}  # fmt: skip
# Trained end to end, a trial of one of these costs as much as all of its other work together. Where
# an experiment trains a ResNet-18 end to end, quick trains the first and no other of them.
COSTLY = ("resnet18", "mobilenet_v2", "vgg11")

# What was measured, in minutes: processor time of one thread, the study by itself, its checkpoints
# included (`python -m poisoning study NAME --profile smoke --threads 1 --out EMPTY`). A figure is
# entered with its date and machine on docs/studies.md. What is not in here was not measured.
MINUTES: dict[tuple[str, Profile], float] = {}

SMALLEST, LARGEST = 25, 250  # training images in smoke


# --- stand-ins of the smoke profile -------------------------------------------------------------


@dataclass(frozen=True)
class Small:
    """Data in the place of a real data set, and what extractors of other classes learn."""

    dataset: str
    others: str


_DIGITS = Small("digits_5_9", "digits_0_4")
_SEVEN = Small("tinyimagenet_subset", "tinyimagenet_subset")
SMALL_DATA = {
    "cifar10": _DIGITS,
    "tinyimagenet": _SEVEN,
    "tinyimagenet_last_half": _SEVEN,
}
# of the same building blocks; what is another network on paper is another network in small
STAND_INS = {
    "resnet18": "resnet6_w8",
    "resnet32_clbd": "resnet8_w8",
    "vgg11": "vgg3_w8",
    "mobilenet_v2": "mobilenet_w8",
    "alexnet_frogs": "alexnet_frogs_w8",
    "alexnet_htbd": "alexnet_htbd_w8",
    "resnet34_tiny": "resnet6_w8",
    "vgg16_tiny": "vgg3_w8",
    "mobilenet_v2_tiny": "mobilenet_w8",
}


def scaled(spec: ExperimentSpec, profile: Profile) -> ExperimentSpec:
    """A paper's spec in another profile; validated anew."""
    if profile == "paper":
        return spec
    raw = spec.model_dump(mode="json")
    scale = SCALES[profile]
    raw |= {"profile": profile, "trials": scale.trials}
    if profile == "quick":
        raw["precision"] = "fast"
    for knob, most in (("steps", scale.steps), ("restarts", scale.restarts)):
        if raw["attack"].get(knob) is not None:
            raw["attack"][knob] = min(raw["attack"][knob], most)
    name_of = _brief if profile == "quick" else _small_name(spec.data.dataset)
    for field in ("surrogates", "sampled_from"):
        names = [name_of(name) for name in raw[field]]
        raw[field] = list(dict.fromkeys(names))
    raw["sampled_from"] = raw["sampled_from"][: scale.checkpoints]
    raw["victims"] = [_victim(spec.victims[v], profile, name_of) for v in kept(spec, profile)]
    raw["data"] |= _quick_data(spec.data) if profile == "quick" else _smoke_data(spec.data)
    return ExperimentSpec.model_validate(raw)


def kept(spec: ExperimentSpec, profile: Profile) -> tuple[int, ...]:
    """The positions of a paper's victims that are trained in another profile."""
    victims = spec.for_trial(0).victims
    everyone = tuple(range(len(victims)))
    whole = [v for v in everyone if victims[v].regime == "end_to_end"]
    models = {v: RECIPES[checkpoint_of(victims[v]) or ""].model for v in whole}
    first = next((v for v in whole if models[v] == "resnet18"), None)
    if profile != "quick" or first is None:
        return everyone
    return tuple(v for v in everyone if v == first or models.get(v) not in COSTLY)


def _victim(victim: AnyVictim, profile: Profile, name_of: Any) -> dict[str, Any]:
    raw = victim.model_dump(mode="json")
    scale = SCALES[profile]
    most = scale.end_to_end_epochs if victim.regime == "end_to_end" else scale.epochs
    raw["recipe"] = shortened(victim.recipe, most).model_dump(mode="json")
    if (name := checkpoint_of(victim)) is not None:
        raw["checkpoint"] = name_of(name)
    elif profile == "smoke":
        raw["model"] = STAND_INS[raw["model"]]
    if "shared_twins" in raw:
        raw["shared_twins"] = min(raw["shared_twins"], 1)
    return raw


def shortened(recipe: Recipe, most: int | None) -> Recipe:
    """At most so many epochs; the rate drops at the same parts of the whole."""
    if most is None or recipe.epochs <= most:
        return recipe
    drops = dict.fromkeys(round(drop * most / recipe.epochs) for drop in recipe.drop_epochs)
    kept = tuple(drop for drop in drops if 0 < drop < most)
    return recipe.model_copy(update={"epochs": most, "drop_epochs": kept})


# --- data: fewer images, the same share of poisons ----------------------------------------------


def _quick_data(data: DataSpec) -> dict[str, Any]:
    is_large = data.train_size > 5000
    size = data.train_size // 10 if is_large else data.train_size
    return _smaller(data, size) | {"setups": "drawn"}


def _smoke_data(data: DataSpec) -> dict[str, Any]:
    """Sizes that differ still differ; of poisons there is one more wherever they are doubled."""
    part = data.train_size // (200 if data.train_size > 5000 else 20)
    return {
        "dataset": SMALL_DATA[data.dataset].dataset,
        "setups": "drawn",
        "train_size": min(max(part, SMALLEST), LARGEST),
        "poisons": min(data.poisons, 2 + data.poisons.bit_length()),
        "target_class": None,
        "base_class": None,
    }


def _smaller(data: DataSpec, size: int) -> dict[str, Any]:
    """At least five poisons, or as many as there were: the share of fewer would say nothing."""
    poisons = max(round(data.poisons * size / data.train_size), min(data.poisons, 5))
    return {"train_size": size, "poisons": poisons, "target_class": None, "base_class": None}


# --- checkpoints --------------------------------------------------------------------------------


def _brief(name: str) -> str:
    return name if name == SAMPLED else brief(name)


def _small_name(dataset: str) -> Any:
    """Names of checkpoints that stand in for those of a study on ``dataset``."""
    small = SMALL_DATA[dataset]

    def name_of(name: str) -> str:
        if name == SAMPLED:
            return name
        recipe = RECIPES[name]
        learned = small.dataset if recipe.dataset == dataset else small.others
        marks = "-adv" * (recipe.adversarial is not None) + "-raw" * (not recipe.normalize)
        seed = 0 if recipe.adversarial else recipe.seed % 2
        return f"{STAND_INS[recipe.model]}-{learned}{marks}-s{seed}"

    return name_of
