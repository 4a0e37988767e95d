"""The unified benchmark on Tiny ImageNet, victims trained from scratch."""

from poisoning import presets, published
from poisoning.params import AttackParams, WitchesBrew
from poisoning.published import NOTHING
from poisoning.studies.study import Line, Place, Study, in_profiles
from poisoning.victim_params import FromScratchVictim

TABLE = "Tiny ImageNet, from scratch"
COLUMN = "VGG16"
SURROGATE = "vgg16_tiny-tinyimagenet-200ep-s0"
ROBUST = "resnet34_tiny-tinyimagenet-adv-200ep-s0"
MATCHED = "resnet34_tiny-tinyimagenet-40ep-s0"


def _line(name: str, attack: AttackParams, classifier: str) -> Line:
    victim = FromScratchVictim(model="vgg16_tiny", label=COLUMN)
    spec = presets.unified(
        attack, (SURROGATE,), (victim,), presets.TINY_FROM_SCRATCH, classifier=classifier
    )
    value = published.TINYIMAGENET_FROM_SCRATCH.get((name, COLUMN), NOTHING)
    return Line(f"{name}: {TABLE}", spec, (Place(TABLE, name, COLUMN, published=value),))


def lines() -> list[Line]:
    attacks = presets.unified_attacks_tiny()
    made = [_line(name, attack, ROBUST) for name, attack in attacks.items()]
    return [*made, _line("WiB", WitchesBrew(max_shift=8), MATCHED)]


STUDY = Study(
    name="benchmark_tinyimagenet_from_scratch",
    title="Unified benchmark: Tiny ImageNet, from scratch",
    description=(
        "250 poisons of 100,000 images, eps 8/255; VGG16 trained from random weights for 200 "
        "epochs. The published column is printed as VGG11; its code trains VGG16."
    ),
    lines=in_profiles(lines),
)
