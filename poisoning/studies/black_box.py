"""What the attacker does not know: victims of other weights, and of other architectures."""

from poisoning import presets, published
from poisoning.published import NOTHING
from poisoning.spec import ExperimentSpec, vary
from poisoning.studies.study import Line, Place, Study, in_profiles

TABLE = "Baselines without access to the victim"
WHITE, GREY, BLACK = "white box", "grey box", "black box"
# attack -> the surrogate, a victim of other weights, a victim of another architecture
NETWORKS = {
    "FC": ("alexnet_frogs-cifar10-raw-200ep-s0", "alexnet_frogs-cifar10-raw-200ep-s1",
           "resnet18-cifar10-raw-200ep-s0"),
    "CP": ("resnet18-cifar10-200ep-s0", "resnet18-cifar10-200ep-s1", "vgg11-cifar10-200ep-s0"),
    "HTBD": ("alexnet_htbd-cifar10-200ep-s0", "alexnet_htbd-cifar10-200ep-s1",
             "resnet18-cifar10-200ep-s0"),
}  # fmt: skip


def against(spec: ExperimentSpec, networks: tuple[str, ...]) -> ExperimentSpec:
    """Crafted on the first network, judged on all."""
    victim = spec.victims[0].model_dump(mode="json")
    changes = {
        "sampled_from": [],
        "surrogates": [networks[0]],
        "victims": [victim | {"checkpoint": name} for name in networks],
    }
    return vary(spec, changes)


def lines() -> list[Line]:
    made = []
    for name, networks in NETWORKS.items():
        spec = against(presets.BASELINES[name](), networks)
        values = (published.BASELINES[name], NOTHING, published.BLACK_BOX[name])
        places = tuple(
            Place(TABLE, name, column, (number,), published=value)
            for number, (column, value) in enumerate(zip((WHITE, GREY, BLACK), values, strict=True))
        )
        made.append(Line(f"{name}, three accesses", spec, places))
    spec = presets.clean_label_backdoor()
    place = Place(TABLE, "CLBD", BLACK, published=published.BASELINES["CLBD"],
                  note="always a black box: the victim starts from random weights")  # fmt: skip
    return [*made, Line("CLBD, black box", spec, (place,))]


STUDY = Study(
    name="black_box",
    title="White, grey and black box",
    description=(
        "The baselines against the surrogate itself, the same architecture with other weights, and "
        "another architecture. On record: below 20 % in the black box for FC, CP and HTBD."
    ),
    lines=in_profiles(lines),
)
