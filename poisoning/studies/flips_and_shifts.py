"""Targets that are flipped or shifted after the poisons were made for them."""

from poisoning import catalog, presets, published
from poisoning.published import NOTHING
from poisoning.studies.study import Line, Place, Study, in_profiles

TABLE = "Baselines when the target moves"
ORIGINAL = "as crafted for"
# the names of poisoning.targets, and what stands over their columns
VARIANTS = {
    "flip": "flipped",
    **{
        f"{way}_{pixels}": f"{pixels} px {way}"
        for pixels in (2, 4)
        for way in ("left", "right", "up", "down")
    },
}


def lines() -> list[Line]:
    made = []
    for name, baseline in presets.BASELINES.items():
        spec = baseline()
        places = [Place(TABLE, name, ORIGINAL, published=published.BASELINES[name])]
        for variant, column in VARIANTS.items():
            value = published.FLIPPED.get(name, NOTHING) if variant == "flip" else NOTHING
            places.append(
                Place(TABLE, name, column, variant=variant, published=value,
                      reference=(name, ORIGINAL))
            )  # fmt: skip
        title = f"{catalog.attack(spec.attack.name).title}, moved targets"
        made.append(Line(title, spec, tuple(places)))
    return made


STUDY = Study(
    name="flips_and_shifts",
    title="Flipped and shifted targets",
    description=(
        "The baselines' victims, asked about the target flipped and shifted by 2 and 4 pixels. On "
        "record: Feature Collision does not survive a flip."
    ),
    lines=in_profiles(lines),
)
