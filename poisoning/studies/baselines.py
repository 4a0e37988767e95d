"""The baselines: each attack in its paper's own setting, and the table of those settings."""

from poisoning import catalog, presets, published
from poisoning.studies.study import Line, Place, Study, in_profiles

TABLE = "Baselines: attacks in their original settings"


def lines() -> list[Line]:
    made = []
    for name, baseline in presets.BASELINES.items():
        spec = baseline()
        place = Place(TABLE, name, "success", published=published.BASELINES[name])
        made.append(Line(f"{catalog.attack(spec.attack.name).title}, original", spec, (place,)))
    return made


STUDY = Study(
    name="baselines",
    title="Baselines in their original settings",
    description=(
        "Feature Collision, Convex Polytope, Clean-Label and Hidden-Trigger Backdoor, each in the "
        "setting of its own paper, beside the published rates; and what these settings are, which "
        "is why the four rates must not be compared with each other."
    ),
    lines=in_profiles(lines),
)
