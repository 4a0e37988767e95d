"""How many images the victim trains on: with a fixed number of poisons, and a fixed share."""

from poisoning import presets
from poisoning.spec import ExperimentSpec, vary
from poisoning.studies.study import Line, Place, Study, in_profiles

COUNT = "Baselines by training set size: a fixed number of poisons"
FRACTION = "Baselines by training set size: a fixed share of poisons"
SIZES = {
    "FC": (12_500, 25_000, 50_000),
    "CP": (500, 1000, 2500, 5000),
    "CLBD": (12_500, 25_000, 50_000),
    "HTBD": (12_500, 25_000, 50_000),
}
NOTE = "on record: FC and CP vary strongly even at a fixed share; no trend common to all"


def _line(name: str, spec: ExperimentSpec, size: int, poisons: int, tables: list[str]) -> Line:
    sized = vary(spec, {"data.train_size": size, "data.poisons": poisons})
    places = tuple(Place(table, name, f"{size:,} images", note=NOTE) for table in tables)
    return Line(f"{name}, {poisons} of {size:,}", sized, places)


def lines() -> list[Line]:
    """The original size belongs to both tables."""
    made = []
    for name, baseline in presets.BASELINES.items():
        spec = baseline()
        own, poisons = spec.data.train_size, spec.data.poisons
        for size in SIZES[name]:
            share = round(poisons * size / own)
            if share == poisons:
                made.append(_line(name, spec, size, poisons, [COUNT, FRACTION]))
                continue
            made.append(_line(name, spec, size, poisons, [COUNT]))
            made.append(_line(name, spec, size, share, [FRACTION]))
    return made


STUDY = Study(
    name="dataset_size",
    title="Training set size",
    description=(
        "The baselines with victims that train on fewer or more images: the number of poisons "
        "fixed, then their share fixed. Which of the two an attack follows is a matter of dose."
    ),
    lines=in_profiles(lines),
)
