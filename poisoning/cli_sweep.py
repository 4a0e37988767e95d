"""``python -m poisoning sweep``: one field of an experiment at several values, and its ED50."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from poisoning import dose, spec_file, stats, tables
from poisoning.dose import words
from poisoning.naming import victim_name
from poisoning.results import Results
from poisoning.spec import ExperimentSpec, FieldError

Run = Callable[[ExperimentSpec, str, argparse.Namespace], Results]
HEADER = ("dose", "n", "success %", "95 % interval", "twin %")


def add_command(add: Callable[..., argparse.ArgumentParser], run: Run, places: Any) -> None:
    """``run`` carries one experiment through: spec, title, arguments."""
    one = add("sweep", lambda given: _sweep(given, run), "sweep one field; print points and ED50")
    one.add_argument("spec", type=Path, help="an experiment as JSON or YAML")
    one.add_argument("--field", required=True, choices=get_args(dose.DoseField))
    one.add_argument("--values", required=True, metavar="V,V,...", help="e.g. 1,5,10")
    places(one)


def _sweep(given: argparse.Namespace, run: Run) -> int:
    spec = ExperimentSpec.model_validate(spec_file.read(given.spec))
    swept = dose.Sweep.model_validate({"field": given.field, "values": numbers(given.values)})
    found = []
    for value, rung in zip(swept.values, swept.specs(spec), strict=True):
        title = f"{given.field} = {value:g}"
        found.append(run(rung, title, given))
    doses = swept.doses(spec)
    for number, victim in enumerate(spec.victims):
        print(_of_victim(swept.field, doses, found, number, victim_name(victim)))
    return 0


def numbers(text: str) -> list[float]:
    """ "1, 5, 10" as numbers; FieldError for what is none."""
    try:
        return [float(part) for part in text.replace(",", " ").split()]
    except ValueError as error:
        raise FieldError("values", str(error), "write numbers with commas between them") from None


def _of_victim(
    field: dose.DoseField, doses: list[float], found: list[Results], number: int, name: str
) -> str:
    """The table of one victim's points, and what they say."""
    measured = []
    for at, results in zip(doses, found, strict=True):
        outcomes = results.outcomes(number)
        successes = sum(outcome.success for outcome in outcomes)
        twins = sum(outcome.twin_success for outcome in outcomes)
        measured.append(dose.Measured(at, len(outcomes), successes, twins))
    measured.sort(key=lambda at: at.dose)
    table = tables.Table(
        title=f"{words.AXES[field]}: {name}",
        header=HEADER,
        lines=tuple(_line(field, at) for at in measured),
        notes=(words.summary(field, measured),),
    )
    return tables.to_text(table)


def _line(field: dose.DoseField, at: dose.Measured) -> tuple[str, ...]:
    interval = stats.wilson(at.successes, at.trials)
    return (
        words.short(field, at.dose),
        str(at.trials),
        f"{100 * at.successes / at.trials:.1f}",
        f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]",
        f"{100 * at.twins / at.trials:.1f}",
    )
