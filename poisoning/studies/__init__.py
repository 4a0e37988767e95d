"""Studies: experiments that together regenerate one table or figure. One file each. No torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from poisoning.results import Results
from poisoning.spec import ExperimentSpec, Profile

Experiments = list[tuple[str, ExperimentSpec]]  # (title, what to run)


@dataclass(frozen=True)
class Study:
    """``experiments(profile)`` is what to run; ``verdict(results)`` lists what does not hold of
    what the study claims, so an empty list is a pass.
    """

    name: str
    title: str
    description: str
    profiles: tuple[Profile, ...]
    experiments: Callable[[Profile], Experiments]
    verdict: Callable[[Sequence[Results]], list[str]]


def _studies() -> dict[str, Study]:
    from poisoning.studies import demonstration

    return {study.name: study for study in (demonstration.STUDY,)}


STUDIES: dict[str, Study] = _studies()
