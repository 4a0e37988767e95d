"""The demonstration: no download, two minutes on two cores.

The benchmark's own scheme for Tiny ImageNet in small: extractors pretrained on the digits 0 to 4,
victims that learn 5 to 9 on frozen features. One victim is the attacker's own extractor (white
box), one has another architecture (black box).
"""

from collections.abc import Sequence

from poisoning import catalog
from poisoning.params import AttackParams, BullseyePolytope, FeatureCollision, NoPerturbation
from poisoning.results import Results
from poisoning.spec import DataSpec, ExperimentSpec, Profile
from poisoning.studies.study import Line, Place, Study, plain_faults
from poisoning.victim_params import FrozenVictim, Recipe

SURROGATE, OTHER = "convnet3-digits_0_4-s0", "resnet6_w16-digits_0_4-s0"
EPS_255, POISONS, TRAIN_SIZE = 32, 20, 200
TRIALS: dict[Profile, int] = {"smoke": 5, "quick": 20}
RECIPE = Recipe(learning_rate=0.1, augment=False)  # no crop or flip: a flipped digit is none
ATTACKS: tuple[AttackParams, ...] = (
    NoPerturbation(),
    FeatureCollision(eps_255=EPS_255),
    BullseyePolytope(eps_255=EPS_255, steps=120),
)
MIN_CLEAN_ACCURACY = 0.9


TABLE = "Digits: success by access"


def lines(profile: Profile) -> list[Line]:
    """One for each attack, on the same setups and victims."""
    return [_line(attack, profile) for attack in ATTACKS]


def _line(attack: AttackParams, profile: Profile) -> Line:
    row = catalog.attack(attack.name)
    victims = tuple(FrozenVictim(checkpoint=name, recipe=RECIPE) for name in (SURROGATE, OTHER))
    spec = ExperimentSpec(
        attack=attack,
        surrogates=(SURROGATE,),
        victims=victims,
        data=DataSpec(dataset="digits_5_9", train_size=TRAIN_SIZE, poisons=POISONS),
        trials=TRIALS[profile],
        profile=profile,
    )
    places = tuple(
        Place(TABLE, row.short, column, (number,))
        for number, column in enumerate(("white box", "black box"))
    )
    return Line(f"{row.title}, digits", spec, places)


def verdict(found: Sequence[Results]) -> list[str]:
    """What does not hold of what the demonstration shows; empty where all of it does.

    The smoke profile has too few trials to tell rates apart, so there rates are not compared.
    """
    own = (fault for results in found for fault in _own_faults(results))
    faults = [*plain_faults(found), *own]
    rates = {
        results.spec.attack.name: tally
        for results in found
        for tally in results.tallies()
        if tally.outcomes and tally.outcomes[0].access == "white_box"
    }
    control, bullseye = rates.get("no_perturbation"), rates.get("bullseye_polytope")
    if control is None or bullseye is None:
        return [*faults, "the control or Bullseye Polytope has no white box"]
    is_smoke = all(results.spec.profile == "smoke" for results in found)
    if not is_smoke and bullseye.interval.low <= control.interval.high:
        faults.append(
            f"Bullseye Polytope's lower bound, {bullseye.interval.low:.3f}, is not above the "
            f"control's upper bound, {control.interval.high:.3f}"
        )
    return faults


def _own_faults(results: Results) -> list[str]:
    """What can be seen of one experiment by itself, beside what is asked of every study."""
    faults, spec = [], results.spec
    allowed = getattr(spec.attack, "eps_255", 0)
    if allowed > EPS_255:
        faults.append(f"the budget is {allowed:g}/255, not {EPS_255}/255")
    for tally in results.tallies():
        if tally.n and tally.clean_accuracy < MIN_CLEAN_ACCURACY:
            faults.append(f"{tally.victim}: clean accuracy is {tally.clean_accuracy:.3f}")
        is_control = spec.attack.name == "no_perturbation"
        if is_control and any(outcome.poisoned != outcome.twin for outcome in tally.outcomes):
            faults.append(f"{tally.victim}: an outcome is not its twin's, without any attack")
    return [f"{results.title}: {fault}" for fault in faults]


STUDY = Study(
    name="demonstration",
    title="Demonstration on digits",
    description=(
        f"Extractors pretrained on the digits 0 to 4, victims that learn 5 to 9 on frozen features "
        f"from {TRAIN_SIZE} images, {POISONS} of them poisons, eps {EPS_255}/255. White box: the "
        "attacker's own ConvNet-3; black box: a ResNet-6."
    ),
    profiles=("quick", "smoke"),
    lines=lines,
    verdict=verdict,
)
