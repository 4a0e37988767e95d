"""The unified benchmark on CIFAR-10, victims trained from scratch."""

from poisoning import presets, published
from poisoning.params import AttackParams
from poisoning.published import NOTHING
from poisoning.studies.study import Line, Place, Study, in_profiles
from poisoning.victim_params import FromScratchVictim

TABLE = "CIFAR-10, from scratch"
SURROGATE = "resnet18-cifar10-200ep-s0"
MATCHED = "resnet18-cifar10-40ep-s0"  # for gradient matching: its paper's own training
MODELS = dict(zip(published.SCRATCH_COLUMNS, ("resnet18", "mobilenet_v2", "vgg11"), strict=True))
COLUMNS: dict[str, tuple[int, ...]] = {
    **{column: (number,) for number, column in enumerate(MODELS)},
    published.MEAN_OF_THREE: (0, 1, 2),
}
VALUES = published.TABLES["cifar10_from_scratch"]


def _line(name: str, attack: AttackParams, classifier: str) -> Line:
    victims = tuple(FromScratchVictim(model=model, label=label) for label, model in MODELS.items())
    spec = presets.unified(
        attack, (SURROGATE,), victims, presets.CIFAR_FROM_SCRATCH, classifier=classifier
    )
    places = tuple(
        Place(TABLE, name, column, numbers, published=VALUES.get((name, column), NOTHING))
        for column, numbers in COLUMNS.items()
    )
    return Line(f"{name}: {TABLE}", spec, places)


def lines() -> list[Line]:
    made = [
        _line(name, attack, presets.ROBUST) for name, attack in presets.unified_attacks().items()
    ]
    return [*made, _line("WiB", presets.GRADIENT_MATCHING, MATCHED)]


STUDY = Study(
    name="benchmark_cifar10_from_scratch",
    title="Unified benchmark: CIFAR-10, from scratch",
    description=(
        "500 poisons of 50,000 images, eps 8/255; ResNet-18, MobileNetV2 and VGG11 trained from "
        "random weights for 200 epochs, and the mean of the three."
    ),
    lines=in_profiles(lines),
)
