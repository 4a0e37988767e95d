"""All four attacks on one ResNet-18 and CIFAR-10: the intent of a student reproduction."""

from poisoning import presets, published
from poisoning.studies.study import Line, Place, Study, in_profiles

TABLE = "Four attacks, one ResNet-18"


def lines() -> list[Line]:
    return [
        Line(
            f"{name} on one ResNet-18",
            spec,
            (Place(TABLE, name, "success", published=published.REPORTED[name]),),
        )
        for name, spec in presets.report().items()
    ]


STUDY = Study(
    name="report",
    title="The report: one ResNet-18",
    description=(
        "The four baselines with ResNet-18 on CIFAR-10 as the only network. The report's figures "
        "are shown as reported and unverified: it states no number of trials, and some may be "
        "clean accuracies, so that nothing is tested against them."
    ),
    lines=in_profiles(lines),
)
