"""The attacker's and the victim's architecture, changed together: the access stays as it was."""

from typing import Any

from poisoning import presets, published
from poisoning.published import NOTHING
from poisoning.spec import ExperimentSpec, vary
from poisoning.studies.study import Line, Place, Study, in_profiles
from poisoning.victim_params import FromScratchVictim

TABLE = "Baselines on other architectures"
ORIGINAL = "original"
MODELS = {"resnet18": "ResNet-18", "vgg11": "VGG11", "mobilenet_v2": "MobileNetV2"}


def on_model(spec: ExperimentSpec, model: str) -> ExperimentSpec:
    """The same attack on the same kind of access, its victim (and its surrogate, where it knows
    the victim's network) of another architecture.
    """
    if isinstance(spec.victims[0], FromScratchVictim):
        return vary(spec, {"victims.0.model": model})
    raw = "" if spec.data.normalize else "-raw"
    name = f"{model}-cifar10{raw}-200ep-s0"
    changes: dict[str, Any] = {
        "sampled_from": [], "surrogates": [name], "victims.0.checkpoint": name,
    }  # fmt: skip
    return vary(spec, changes)


def lines() -> list[Line]:
    made = []
    for name, baseline in presets.BASELINES.items():
        original = Place(TABLE, name, ORIGINAL, published=published.BASELINES[name])
        made.append(Line(f"{name}, original", baseline(), (original,)))
        for model, title in MODELS.items():
            is_quoted = (name, model) == ("HTBD", "resnet18")
            place = Place(
                TABLE, name, title, published=published.HTBD_ON_RESNET18 if is_quoted else NOTHING,
                reference=(name, ORIGINAL),
            )  # fmt: skip
            made.append(Line(f"{name} on {title}", on_model(baseline(), model), (place,)))
    return made


STUDY = Study(
    name="architecture",
    title="Architecture",
    description=(
        "The baselines with surrogate and victim of another architecture, everything else as in "
        "the original. On record: Hidden-Trigger Backdoor succeeds far less on ResNet-18."
    ),
    lines=in_profiles(lines),
)
