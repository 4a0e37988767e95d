"""The size of a backdoor's patch: those of CLBD (3), the benchmark (5) and HTBD (8) for both."""

from poisoning import presets, published
from poisoning.published import Published
from poisoning.spec import vary
from poisoning.studies.study import Line, Place, Study, in_profiles

TABLE = "Backdoors by patch size"
SIZES = (3, 5, 8)
OWN = {"CLBD": 3, "HTBD": 8}


def _value(name: str, size: int) -> Published:
    if size == OWN[name]:
        return published.BASELINES[name]
    return published.LARGER_PATCH if size > OWN[name] else published.SMALLER_PATCH


def lines() -> list[Line]:
    made = []
    for name, own in OWN.items():
        for size in SIZES:
            spec = vary(presets.BASELINES[name](), {"attack.patch_size": size})
            place = Place(
                TABLE, name, f"{size} px", published=_value(name, size),
                reference=None if size == own else (name, f"{own} px"),
            )  # fmt: skip
            made.append(Line(f"{name}, patch of {size} px", spec, (place,)))
    return made


STUDY = Study(
    name="patch_size",
    title="Patch size",
    description=(
        "Clean-Label and Hidden-Trigger Backdoor in their original settings with patches of 3, 5 "
        "and 8 pixels. On record: the larger the patch, the higher the rate."
    ),
    lines=in_profiles(lines),
)
