"""How big every study is in each of its profiles, and how long it takes on two cores.

Read off the specs. Minutes are measured where they were, else they come from the cost model of
``app.services.costs``, and say which. ``python -m app.services.study_sizes`` prints the tables that
stand in docs/studies.md.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from typing import get_args

from app.services import costs
from app.services.estimate import START_S
from app.settings import Settings
from poisoning import catalog
from poisoning.profiles import MINUTES
from poisoning.recipes import RECIPES
from poisoning.spec import SAMPLED, ExperimentSpec, Profile, checkpoint_of, spec_hash
from poisoning.studies import STUDIES
from poisoning.tables import markdown_lines

PROFILES: tuple[Profile, ...] = get_args(Profile)
TWO_CORES = {"device": "cpu", "threads": 2}
HEADER = (
    "study", "experiments", "trials each", "steps", "epochs", "victims", "data",
    "on two cores",
)  # fmt: skip


@dataclass(frozen=True)
class Size:
    """One study in one profile, in words; ``seconds`` behind ``time``."""

    study: str
    experiments: str
    trials: str
    steps: str
    epochs: str
    victims: str
    data: str
    time: str
    seconds: float

    def line(self) -> tuple[str, ...]:
        """Under HEADER."""
        return astuple(self)[:-1]


@cache
def of_study(name: str, profile: Profile) -> Size:
    """Raises FieldError where the study has no such profile."""
    specs = list({spec_hash(s): s for _, s in STUDIES[name].experiments(profile)}.values())
    minutes = MINUTES.get((name, profile))
    seconds = 60 * minutes if minutes is not None else _modelled_s(specs)
    steps = [steps for spec in specs if (steps := getattr(spec.attack, "steps", None))]
    return Size(
        study=name,
        experiments=str(len(specs)),
        trials=_range(specs, lambda spec: [spec.trials]),
        steps=_span(steps),
        epochs=_range(specs, lambda spec: [victim.recipe.epochs for victim in spec.victims]),
        victims=_victims(specs),
        data=_data(specs),
        time=f"{in_words(seconds)}, {'estimated' if minutes is None else 'measured'}",
        seconds=seconds,
    )


def of_profile(profile: Profile) -> list[Size]:
    """Every study that has it."""
    return [of_study(name, profile) for name, study in STUDIES.items() if profile in study.profiles]


def markdown(profile: Profile) -> str:
    """The table of a profile, as it stands in docs/studies.md."""
    rows = [size.line() for size in of_profile(profile)]
    return "\n".join(markdown_lines(HEADER, [(f"`{name}`", *words) for name, *words in rows]))


def in_words(seconds: float) -> str:
    """To two digits, in the unit in which it is a small number."""
    units = (("min", 60, 120), ("h", 3600, 72), ("days", 86400, math.inf))
    unit, size, _ = next(each for each in units if seconds / each[1] < each[2])
    value = seconds / size
    return f"{value:.1f} {unit}" if value < 10 else f"{float(f'{value:.2g}'):,.0f} {unit}"


def _range(specs: Sequence[ExperimentSpec], numbers: Callable[[ExperimentSpec], list[int]]) -> str:
    return _span([number for spec in specs for number in numbers(spec)])


def _span(numbers: Sequence[int]) -> str:
    if not numbers:
        return "-"
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _victims(specs: Sequence[ExperimentSpec]) -> str:
    """Their networks, by how much of them is trained."""
    found: dict[str, dict[str, None]] = {}
    for spec in specs:
        for victim in spec.for_trial(0).victims:
            name = checkpoint_of(victim)
            model = RECIPES[name].model if name else str(getattr(victim, "model", ""))
            short = catalog.regime(victim.regime).short
            found.setdefault(short, {})[model] = None
    return "; ".join(f"{short} {', '.join(models)}" for short, models in found.items())


def _data(specs: Sequence[ExperimentSpec]) -> str:
    titles = dict.fromkeys(catalog.dataset(spec.data.dataset).title for spec in specs)
    return f"{', '.join(titles)}; {_range(specs, lambda spec: [spec.data.train_size])} images"


def _modelled_s(specs: Sequence[ExperimentSpec]) -> float:
    """What no two trials share but the checkpoints, and twins where the spec says so."""
    settings = Settings.model_validate(TWO_CORES)
    named = (name for spec in specs for _, name in spec.checkpoint_names())
    names = {name for name in named if name != SAMPLED}
    seconds = sum(START_S + costs.of_pretraining(settings, RECIPES[name]) for name in names)
    for spec in specs:
        cost = costs.of_experiment(None, settings, spec)
        seconds += START_S + spec.trials * cost.trial_s
        seconds += sum(victim.batch_s + victim.once_s for victim in cost.victims)
    return seconds


if __name__ == "__main__":
    print("\n\n".join(f"### {name.capitalize()}\n\n{markdown(name)}" for name in PROFILES))
