"""What the launch form can be filled with: the experiments of the studies, and clones."""

from collections.abc import Mapping
from typing import Any, get_args

import poisoning.studies
from app.errors import NotFound
from app.web.forms import Options, Values, flatten
from poisoning.spec import ExperimentSpec, Profile

# Whose experiments make sense by themselves; the others are launched as the studies they are.
OFFERED = ("demonstration", "baselines", "report")
PROFILES: tuple[Profile, ...] = get_args(Profile)


def menu() -> list[tuple[str, Options]]:
    """(study and profile, its experiments), each by an address of its own."""
    groups = []
    for name in OFFERED:
        study = poisoning.studies.STUDIES[name]
        for profile in profiles_of(study):
            entries = [
                (f"{name}:{profile}:{number}", title)
                for number, (title, _) in enumerate(study.experiments(profile))
            ]
            groups.append((f"{study.title} ({profile})", entries))
    return groups


def profiles_of(study: Any) -> list[Profile]:
    """The profiles a study can be run in; all, where it does not say."""
    return list(getattr(study, "profiles", PROFILES))


def values_of_preset(address: str) -> Values:
    """The form as a study's experiment would have filled it; NotFound where there is none."""
    name, _, rest = address.partition(":")
    profile, _, number = rest.partition(":")
    study = poisoning.studies.STUDIES.get(name)
    if study is not None and profile in profiles_of(study) and number.isdigit():
        entries = list(study.experiments(profile))
        if int(number) < len(entries):
            title, spec = entries[int(number)]
            return values_of_spec(spec.model_dump(mode="json"), title)
    raise NotFound(f"there is no preset {address!r}")


def values_of_spec(spec: Mapping[str, Any], title: str = "") -> Values:
    """The form as this spec would have filled it; knobs an old spec lacks get their default."""
    whole = ExperimentSpec.model_validate(spec).model_dump(mode="json")
    return flatten(whole) | {"title": [title]}
