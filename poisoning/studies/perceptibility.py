"""What can be seen of the poisons, and what a smaller budget costs the attacker."""

from poisoning import presets, published
from poisoning.params import FeatureCollision
from poisoning.published import NOTHING
from poisoning.spec import ExperimentSpec, vary
from poisoning.studies.study import Line, Place, Study, in_profiles

TABLE = "Success and visibility by budget"
EPS = (2, 4, 8, 16, 25.5)


def bounded(name: str) -> ExperimentSpec:
    """A baseline with a budget to vary: Feature Collision has none in its paper, so that its
    bounded form takes its place, in the same setting.
    """
    spec = presets.BASELINES[name]()
    if hasattr(spec.attack, "eps_255"):
        return spec
    return vary(spec, {"attack": FeatureCollision().model_dump(mode="json")})


def lines() -> list[Line]:
    made = []
    for name, baseline in presets.BASELINES.items():
        original = baseline()
        own = getattr(original.attack, "eps_255", None)
        if own is None:
            place = Place(TABLE, name, "no budget", published=published.BASELINES[name])
            made.append(Line(f"{name}, no budget", original, (place,)))
        for eps in EPS:
            spec = vary(bounded(name), {"attack.eps_255": eps})
            value = published.BASELINES[name] if eps == own else NOTHING
            place = Place(TABLE, name, f"eps {eps:g}/255", published=value)
            made.append(Line(f"{name}, eps {eps:g}", spec, (place,)))
    return made


STUDY = Study(
    name="perceptibility",
    title="Perceptibility",
    description=(
        "The baselines at budgets of 2 to 25.5 / 255: the rate beside the largest change of a "
        "pixel and the structural similarity to the base images, both measured on what is stored."
    ),
    lines=in_profiles(lines),
)
