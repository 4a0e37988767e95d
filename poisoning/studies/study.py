"""What a study is: lines, each an experiment and the cells of tables that its victims fill."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from poisoning import presets
from poisoning.profiles import SCALES, kept, scaled
from poisoning.published import NOTHING, Published
from poisoning.results import Results
from poisoning.spec import ExperimentSpec, FieldError, Profile
from poisoning.studies import filling
from poisoning.tables import Table

Experiments = list[tuple[str, ExperimentSpec]]  # (title, what to run)


@dataclass(frozen=True)
class Place:
    """One cell of a table, and where its number comes from.

    ``victims``: positions in the experiment's list; of several the mean is shown. ``variant``: a
    transformed target's name, where the rate is that of its transformation. ``reference``: the
    cell (row, column) of the same table that a published direction is relative to.
    """

    table: str
    row: str
    column: str
    victims: tuple[int, ...] = (0,)
    variant: str | None = None
    published: Published = NOTHING
    reference: tuple[str, str] | None = None
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One experiment of a study; ``is_in_quick``: not so costly that only the others run it."""

    title: str
    spec: ExperimentSpec
    places: tuple[Place, ...]
    is_in_quick: bool = True


def plain_faults(found: Sequence[Results]) -> list[str]:
    """What must hold of every study: all trials are there, poisons within their budget, and the
    control is its own twin.
    """
    return [f"{one.title}: {fault}" for one in found for fault in _faults(one)]


def _faults(results: Results) -> list[str]:
    faults, spec = [], results.spec
    eps = getattr(spec.attack, "eps_255", None)
    is_control = spec.attack.name == "no_perturbation"
    # one that may stop early need not have all
    if len(results.trials) != spec.trials and not results.is_sequential:
        faults.append(f"{len(results.trials)} trials, not {spec.trials}")
    if is_control and any(trial.linf_255 for trial in results.trials):
        faults.append("the control changes a pixel by more than 0/255")
    if eps is not None and any(trial.linf_255 > eps for trial in results.trials):
        faults.append(f"a poison changes a pixel by more than {eps:g}/255")
    outcomes = [outcome for trial in results.trials for outcome in trial.outcomes]
    if is_control and any(o.success != o.twin_success for o in outcomes if has_own_twin(spec, o)):
        faults.append("an outcome is not its twin's, without any attack")
    return faults


def has_own_twin(spec: ExperimentSpec, outcome: filling.OutcomeResult) -> bool:
    """Whether the twin was trained with the very draws of the victim, and not shared by trials."""
    return not getattr(spec.victims[outcome.victim], "shared_twins", 0)


@dataclass(frozen=True)
class Study:
    """``lines(profile)`` are what to run and where it goes; ``verdict(results)`` lists what does
    not hold of what the study claims, so an empty list is a pass. How rates compare with published
    ones stands in the tables, and is no fault.
    """

    name: str
    title: str
    description: str
    lines: Callable[[Profile], Sequence[Line]]
    profiles: tuple[Profile, ...] = ("smoke", "quick", "paper")
    verdict: Callable[[Sequence[Results]], list[str]] = plain_faults

    def experiments(self, profile: Profile) -> Experiments:
        """What to run. Raises FieldError for a profile the study does not have."""
        return [(line.title, line.spec) for line in self._lines(profile)]

    def tables(self, found: Sequence[Results], profile: Profile | None = None) -> list[Table]:
        """Its tables, filled with what was found in one profile, the first result's where none is
        named; then its settings. Results are recognised by their spec.
        """
        chosen = profile or (found[0].spec.profile if found else self.profiles[0])
        made = filling.tables(self._lines(chosen), found, SCALES[chosen], self.left_out(chosen))
        return [*made, self.settings(chosen)]

    def left_out(self, profile: Profile) -> tuple[str, ...]:
        """Titles of the paper's experiments that the profile does not run, for their cost."""
        if "paper" not in self.profiles:
            return ()
        there = {line.title for line in self._lines(profile)}
        return tuple(line.title for line in self._lines("paper") if line.title not in there)

    def settings(self, profile: Profile) -> Table:
        """What every experiment runs, read off its spec."""
        lines = tuple(presets.settings(title, spec) for title, spec in self.experiments(profile))
        return Table(f"Settings ({profile})", presets.SETTINGS_HEADER, lines)

    def _lines(self, profile: Profile) -> Sequence[Line]:
        if profile not in self.profiles:
            known = ", ".join(self.profiles)
            raise FieldError("profile", f"{self.name} has {known}, not {profile}")
        return self.lines(profile)


def in_profiles(paper: Callable[[], Sequence[Line]]) -> Callable[[Profile], Sequence[Line]]:
    """The lines of any profile, from those of the paper's; made once."""

    @cache
    def lines(profile: Profile) -> tuple[Line, ...]:
        taken = [line for line in paper() if line.is_in_quick or profile != "quick"]
        return tuple(_in_profile(line, profile) for line in taken)

    return lines


def _in_profile(line: Line, profile: Profile) -> Line:
    """Without the places of victims that the profile does not train."""
    position = {victim: i for i, victim in enumerate(kept(line.spec, profile))}
    places = tuple(
        replace(place, victims=tuple(position[victim] for victim in place.victims))
        for place in line.places
        if position.keys() >= set(place.victims)
    )
    return replace(line, spec=scaled(line.spec, profile), places=places)
