"""The trials of experiments, counted: rates with their errors, beside their twins. No torch."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from poisoning import catalog, stats
from poisoning.events import OutcomeResult, TrialDone
from poisoning.naming import victim_name
from poisoning.spec import ExperimentSpec


@dataclass
class Results:
    """One experiment and those of its trials that are done.

    ``is_sequential``: its n was not fixed before anybody looked, as it may have stopped early or
    been extended, so that its intervals are confidence sequences.
    """

    title: str
    spec: ExperimentSpec
    trials: list[TrialDone] = field(default_factory=list)
    is_sequential: bool = False

    def outcomes(self, victim: int) -> list[OutcomeResult]:
        """Of one victim, in the order of the trials."""
        ordered = sorted(self.trials, key=lambda trial: trial.index)
        return [trial.outcomes[victim] for trial in ordered]

    def tallies(self) -> Iterator["Tally"]:
        """One for every victim."""
        for number, victim in enumerate(self.spec.victims):
            yield Tally(victim_name(victim), self.outcomes(number), self.is_sequential)

    def to_json(self) -> str:
        """Spec and trials, in full."""
        trials = [trial.model_dump(mode="json") for trial in self.trials]
        whole = {"title": self.title, "spec": self.spec.model_dump(mode="json"), "trials": trials}
        return json.dumps(whole, indent=1) + "\n"


@dataclass(frozen=True)
class Tally:
    """The outcomes of one experiment on one victim, at least one."""

    victim: str
    outcomes: list[OutcomeResult]
    is_sequential: bool = False

    @property
    def n(self) -> int:
        return len(self.outcomes)

    @property
    def successes(self) -> int:
        return sum(outcome.success for outcome in self.outcomes)

    @property
    def twin_successes(self) -> int:
        return sum(outcome.twin_success for outcome in self.outcomes)

    @property
    def interval(self) -> stats.Interval:
        """Wilson's, or a confidence sequence; 95 %."""
        return stats.estimate(self.successes, self.n, is_sequential=self.is_sequential).interval

    @property
    def clean_accuracy(self) -> float:
        return sum(outcome.poisoned.clean_accuracy for outcome in self.outcomes) / self.n


HEADER = (
    "attack",
    "eps",
    "victim",
    "access",
    "n",
    "success %",
    "95 % interval",
    "twin %",
    "clean %",
)


def table(found: Sequence[Results]) -> str:
    """Rates +- standard error as published, Wilson intervals and twins, as plain text."""
    rows = [HEADER] + [_row(results, tally) for results in found for tally in results.tallies()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    if any(results.is_sequential for results in found):
        lines += ["", stats.SEQUENCE_NOTE]
    return "\n".join(lines)


def _row(results: Results, tally: Tally) -> tuple[str, ...]:
    attack, n = results.spec.attack, tally.n
    error = 100 * stats.standard_error(tally.successes, n)
    interval = tally.interval
    return (
        catalog.attack(attack.name).title,
        f"{attack.eps_255:g}/255" if hasattr(attack, "eps_255") else "-",
        tally.victim,
        tally.outcomes[0].access.replace("_", " "),
        str(n),
        f"{100 * tally.successes / n:.1f} +- {error:.2f}",
        interval.in_words(),
        f"{100 * tally.twin_successes / n:.1f}",
        f"{100 * tally.clean_accuracy:.1f}",
    )
