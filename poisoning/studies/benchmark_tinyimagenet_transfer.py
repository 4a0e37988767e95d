"""The unified benchmark on Tiny ImageNet, transfer learning."""

from poisoning import presets, published
from poisoning.params import AttackParams
from poisoning.published import NOTHING
from poisoning.studies.study import Line, Place, Study, in_profiles
from poisoning.victim_params import FrozenVictim

TABLE = "Tiny ImageNet, transfer, frozen extractor"
SURROGATE = "vgg16_tiny-tinyimagenet_first_half-200ep-s0"
ROBUST = "resnet34_tiny-tinyimagenet_last_half-adv-200ep-s0"
NETWORKS = {
    "white box": SURROGATE,
    "ResNet-34": "resnet34_tiny-tinyimagenet_first_half-200ep-s0",
    "MobileNetV2": "mobilenet_v2_tiny-tinyimagenet_first_half-200ep-s0",
}
COLUMNS: dict[str, tuple[int, ...]] = {published.WHITE: (0,), published.BLACK: (1, 2)}


def _line(name: str, attack: AttackParams) -> Line:
    victims = tuple(FrozenVictim(checkpoint=its, label=label) for label, its in NETWORKS.items())
    spec = presets.unified(attack, (SURROGATE,), victims, presets.TINY_TRANSFER, ROBUST)
    values = published.TINYIMAGENET_TRANSFER
    places = tuple(
        Place(TABLE, name, column, numbers, published=values.get((name, column), NOTHING))
        for column, numbers in COLUMNS.items()
    )
    return Line(f"{name}: {TABLE}", spec, places)


def lines() -> list[Line]:
    return [_line(name, attack) for name, attack in presets.unified_attacks_tiny().items()]


STUDY = Study(
    name="benchmark_tinyimagenet_transfer",
    title="Unified benchmark: Tiny ImageNet, transfer",
    description=(
        "250 poisons of 50,000 images of the last 100 classes, eps 8/255, extractors pretrained on "
        "the first 100: VGG16 as white box, ResNet-34 and MobileNetV2 as black boxes."
    ),
    lines=in_profiles(lines),
)
