"""The unified benchmark on CIFAR-10, transfer learning: white, grey, black; single, ensemble."""

from poisoning import presets, published
from poisoning.params import AttackParams
from poisoning.published import NOTHING
from poisoning.studies.study import Line, Place, Study, in_profiles
from poisoning.victim_params import AnyVictim, EndToEndVictim, FrozenVictim

FROZEN = "CIFAR-10, transfer, frozen extractor"
END_TO_END = "CIFAR-10, transfer, end to end"
ENSEMBLES = {"frozen": "CIFAR-10, transfer, frozen extractor, ensemble of surrogates",
             "end_to_end": "CIFAR-10, transfer, end to end, ensemble of surrogates"}  # fmt: skip
GREY = "grey box"
SURROGATE = "resnet18-cifar100-200ep-s0"
NETWORKS = {  # in the order of an experiment's victims
    "white box": SURROGATE,
    GREY: "resnet18-cifar100-200ep-s1",
    "MobileNetV2": "mobilenet_v2-cifar100-200ep-s0",
    "VGG11": "vgg11-cifar100-200ep-s0",
}
# none of them is a victim but the first, so that grey and black boxes stay what they are
ENSEMBLE = (SURROGATE, "mobilenet_v2-cifar100-200ep-s1", "vgg11-cifar100-200ep-s1")
COLUMNS: dict[str, tuple[int, ...]] = {
    published.WHITE: (0,), GREY: (1,), published.BLACK: (2, 3),
}  # fmt: skip
IN_ENSEMBLES = ("FC", "CP", "BP")
PRINTED = {"Control", *(row for row, _ in published.CIFAR10_TRANSFER)}


def victims(regime: type[FrozenVictim] | type[EndToEndVictim]) -> tuple[AnyVictim, ...]:
    return tuple(regime(checkpoint=name, label=label) for label, name in NETWORKS.items())


def _line(
    name: str,
    attack: AttackParams,
    its: tuple[AnyVictim, ...],
    table: str,
    surrogates: tuple[str, ...],
) -> Line:
    values = published.CIFAR10_TRANSFER if table == FROZEN else {}
    spec = presets.unified(attack, surrogates, its, presets.CIFAR_TRANSFER)
    places = tuple(
        Place(table, name, column, numbers, published=values.get((name, column), NOTHING))
        for column, numbers in COLUMNS.items()
    )
    # Quick: an ensemble has two extractors that do not come with us, and a network trained end to
    # end costs as much as all else in its trial
    is_in_quick = len(surrogates) == 1 and (table == FROZEN or name in PRINTED)
    return Line(f"{name}: {table}", spec, places, is_in_quick)


def lines() -> list[Line]:
    attacks, single = presets.unified_attacks(), (SURROGATE,)
    made = []
    for regime, table in ((FrozenVictim, FROZEN), (EndToEndVictim, END_TO_END)):
        its = victims(regime)
        made += [_line(name, attack, its, table, single) for name, attack in attacks.items()]
        ensemble = ENSEMBLES[its[0].regime]
        made += [_line(name, attacks[name], its, ensemble, ENSEMBLE) for name in IN_ENSEMBLES]
    return made


STUDY = Study(
    name="benchmark_cifar10_transfer",
    title="Unified benchmark: CIFAR-10, transfer",
    description=(
        "25 poisons of 2,500 images, eps 8/255, extractors pretrained on CIFAR-100: white, grey "
        "and black box (the mean of MobileNetV2 and VGG11), frozen and end to end, one surrogate "
        "and three. Attacks whose benchmark code departs from their paper stand in both forms."
    ),
    lines=in_profiles(lines),
)
