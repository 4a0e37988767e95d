"""The command that runs studies: one by name with its tables, or all with a line each."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from poisoning import catalog, tables
from poisoning.bundle import About, rules
from poisoning.results import Results
from poisoning.running import FAILED, JobFailed, experiment
from poisoning.spec import FieldError, Profile, spec_hash
from poisoning.studies import STUDIES, Study

Add = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]
Bundle = Callable[[argparse.Namespace, About, Sequence[Results]], None]
DONE = "studies"  # a file for each study that was carried through, below --out


def add_command(
    add: Add, bundle: Bundle, options: Sequence[Callable[[argparse.ArgumentParser], None]]
) -> None:
    """The parser of ``study``; ``bundle`` writes one where it is asked for, ``options`` are those
    of all commands that run something.
    """
    one = add(
        "study",
        lambda given: _study(given, bundle),
        "run a study and print its tables; without a name, list them",
    )
    one.add_argument("name", nargs="?")
    one.add_argument("--all", action="store_true", help="all of them, a line each")
    one.add_argument("--profile", default=None, help="smoke, quick or paper")
    one.add_argument("--form", choices=list(tables.FORMS), default="txt", help="of the tables")
    for option in options:
        option(one)


def _study(given: argparse.Namespace, bundle: Bundle) -> int:
    if given.all:
        return _all(given)
    if given.name is None:
        for study in STUDIES.values():
            print(f"{study.name}: {study.title} ({', '.join(study.profiles)})")
        return 0
    study = catalog.find("study", STUDIES, given.name)
    profile: Profile = given.profile or study.profiles[0]
    found = carry_through(study, profile, given)
    about = About(kind="study", title=study.title, name=study.name, profile=profile,
                  rules=rules(study.name, profile), date=datetime.now(UTC))  # fmt: skip
    bundle(given, about, found)
    for made in study.tables(found, profile):
        print(tables.FORMS[given.form](made))
    faults = study.verdict(found)
    for fault in faults:
        print(f"does not hold: {fault}", file=sys.stderr)
    return FAILED if faults else 0


def carry_through(study: Study, profile: Profile, given: argparse.Namespace) -> list[Results]:
    """Run what is not done of a study. Raises JobFailed, or FieldError for a profile it lacks."""
    once = {spec_hash(spec): (title, spec) for title, spec in study.experiments(profile)}
    return [experiment(spec, title, given) for title, spec in once.values()]


# --- all of them --------------------------------------------------------------------------------


def _all(given: argparse.Namespace) -> int:
    """Every study that has the profile, one after the other; one that fails stops no other."""
    profile: Profile = given.profile or "smoke"
    asked = [study for study in STUDIES.values() if profile in study.profiles]
    if given.name is not None or given.bundle is not None:
        raise FieldError("--all", "takes neither a name nor --bundle", "name one study instead")
    if not asked:
        raise FieldError("profile", f"no study has {profile}", "choose smoke, quick or paper")
    started, status = time.monotonic(), 0
    for study in asked:
        is_done, words = _one_of_all(study, profile, given)
        print(f"{study.name:36}{words}", flush=True)
        status = status if is_done else FAILED
    print(f"{len(asked)} studies in {time.monotonic() - started:.0f} s")
    return status


def _one_of_all(study: Study, profile: Profile, given: argparse.Namespace) -> tuple[bool, str]:
    """Whether it is done, and how it went."""
    note = given.out / DONE / f"{study.name}-{profile}.json"
    known = rules(study.name, profile)
    if (before := _read(note)) and before.get("rules") == known:
        return True, f"was done before   {before['words']}"
    clock, processor = time.monotonic(), time.process_time()
    try:
        found = carry_through(study, profile, given)
    except JobFailed as error:
        return False, f"failed   {error}"
    faults = study.verdict(found)
    if faults:
        return False, f"does not hold   {faults[0]}"
    _print_tables(study, found, profile, note.with_suffix(".md"))
    trials = sum(len(results.trials) for results in found)
    words = (
        f"{len(found)} experiments, {trials} trials, {time.monotonic() - clock:.1f} s "
        f"({time.process_time() - processor:.1f} s of processor time)"
    )
    note.write_text(json.dumps({"rules": known, "words": words}) + "\n", encoding="utf-8")
    return True, f"done   {words}"


def _read(note: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(note.read_bytes()))
    except (OSError, ValueError):
        return {}


def _print_tables(study: Study, found: Sequence[Results], profile: Profile, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = study.tables(found, profile)
    path.write_text("\n".join(tables.to_markdown(table) for table in made), encoding="utf-8")
