"""Experiments run by the command line, in this process: what is done already is not done again.

Everything lies below ``--out``: checkpoints by name; experiments by the hash of their spec, so that
studies share them; and a cache of poison sets and twins. A trial is written down as soon as it is
done, and taken up by a later call for as long as it would come out the same.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from poisoning import catalog, events, identity, work
from poisoning.recipes import RECIPES
from poisoning.results import Results
from poisoning.spec import ExperimentSpec, PretrainSpec, checkpoint_of, spec_hash

BAD_INPUT, FAILED = 2, 1
CHECKPOINTS, EXPERIMENTS, CACHE = "checkpoints", "experiments", "cache"
TRIALS, RESULTS = "trials.jsonl", "results.json"


class JobFailed(Exception):
    """A job that could not be done; the reader has been told why."""

    def __init__(self, failed: events.Failed) -> None:
        self.status = BAD_INPUT if failed.reason in ("bad_input", "bad_data") else FAILED
        super().__init__(failed.message)


def folder_of(spec: ExperimentSpec, out: Path) -> Path:
    """Where an experiment's trials lie, whoever asked for it."""
    return out / EXPERIMENTS / spec_hash(spec)[:16]


def experiment(spec: ExperimentSpec, title: str, given: argparse.Namespace) -> Results:
    """Train the checkpoints that are missing, then run the trials that are. Raises JobFailed."""
    names = dict.fromkeys(name for _, name in spec.checkpoint_names())
    paths = {name: checkpoint(name, given) for name in names}
    folder = folder_of(spec, given.out)
    kept = done_trials(folder, spec, {name: _sha256(path) for name, path in paths.items()})
    results, screen = Results(title, spec, list(kept.values())), _screen(title, given)
    missing = tuple(index for index in range(spec.trials) if index not in kept)
    if kept:
        screen.show(events.Log(message=f"{len(kept)} of {spec.trials} trials are there"))
    if missing:
        job = events.TrialsJob(
            spec=spec,
            indices=missing,
            checkpoints={name: str(path) for name, path in paths.items()},
            machine=machine(given, folder),
        )
        folder.mkdir(parents=True, exist_ok=True)
        execute(job, Keeper(folder, results, screen))
        results.trials.sort(key=lambda trial: trial.index)
        (folder / RESULTS).write_text(results.to_json(), encoding="utf-8")
    return results


class Keeper:
    """Shows what a job says, and keeps every trial at once: a killed process loses none."""

    def __init__(self, folder: Path, results: Results, screen: "Screen") -> None:
        self.path, self.results, self.screen = folder / TRIALS, results, screen

    def __call__(self, message: events.Message) -> None:
        self.screen.show(message)
        if isinstance(message, events.TrialDone):
            self.results.trials.append(message)
            with self.path.open("a", encoding="utf-8") as file:
                # a line that a killed process left half is ended first, and so spoils no other
                file.write(f"\n{message.model_dump_json()}\n")


def done_trials(
    folder: Path, spec: ExperimentSpec, checkpoints: Mapping[str, str]
) -> dict[int, events.TrialDone]:
    """By number the trials that are there whole, and would come out the same from the checkpoints
    with these sha256s.
    """
    try:
        lines = (folder / TRIALS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    found = {}
    for line in filter(None, lines):
        try:
            trial = events.TrialDone.model_validate_json(line)
        except ValidationError:
            continue
        is_whole = (folder / trial.poison_set).is_file() and trial.index < spec.trials
        if is_whole and _is_current(trial, spec, checkpoints):
            found[trial.index] = trial
    return dict(sorted(found.items()))


def _is_current(
    trial: events.TrialDone, spec: ExperimentSpec, checkpoints: Mapping[str, str]
) -> bool:
    """Whether poisons and outcomes follow from what there is now."""
    own, made = spec.for_trial(trial.index), trial.provenance or {}
    md5 = made.get("dataset", {}).get("md5", "")
    surrogates = [checkpoints[name] for name in own.surrogates]
    crafted = identity.craft_hash(own, trial.index, trial.setup, surrogates, md5)
    if crafted != trial.craft_hash or len(trial.outcomes) != len(own.victims):
        return False
    for victim, outcome in zip(own.victims, trial.outcomes, strict=True):
        start = checkpoints.get(checkpoint_of(victim) or "")
        if outcome.outcome_hash != identity.outcome_hash(own, trial.index, victim, crafted, start):
            return False
    return True


def _sha256(checkpoint: Path) -> str:
    """Of a checkpoint's weights, as its card states it."""
    card = json.loads(checkpoint.with_suffix(".json").read_bytes())
    return str(card["sha256"])


def checkpoint(name: str, given: argparse.Namespace) -> Path:
    """The file of a checkpoint below ``--out``, trained first where it is a recipe not run yet."""
    folder = given.out / CHECKPOINTS
    path: Path = folder.resolve() / f"{name}.safetensors"
    if not path.with_suffix(".json").is_file():
        spec: PretrainSpec = catalog.find("checkpoint", RECIPES, name)
        job = events.PretrainJob(name=name, spec=spec, machine=machine(given, folder))
        execute(job, _screen(name, given).show)
    return path


def _screen(title: str, given: argparse.Namespace) -> "Screen":
    return Screen(title, is_quiet=getattr(given, "all", False))


def machine(given: argparse.Namespace, folder: Path) -> events.Machine:
    return events.Machine(
        data_dir=str(given.data_dir),
        work_dir=str(folder.resolve()),
        device=given.device,
        threads=given.threads,
        cache_dir=str((given.out / CACHE).resolve()),
    )


def execute(job: events.AnyJob, emit: work.Emit) -> None:
    failed = work.execute(job, emit)
    if failed is not None:
        raise JobFailed(failed)


# --- what is said meanwhile ---------------------------------------------------------------------


def complain(field: str, message: str, remedy: str | None = None) -> None:
    text = message if not field or message.startswith(f"{field}: ") else f"{field}: {message}"
    print(f"error: {text}{f'; {remedy}' if remedy else ''}", file=sys.stderr)


class Screen:
    """Draws events on stderr: one line, renewed in place on a terminal. A quiet one leaves no
    line behind but those of faults.
    """

    def __init__(self, title: str, is_quiet: bool = False) -> None:
        self.title, self.is_live, self.is_quiet = title, sys.stderr.isatty(), is_quiet
        self.drawn = False

    def show(self, message: events.Message) -> None:
        if isinstance(message, events.Progress):
            self._progress(message)
        elif isinstance(message, events.Log):
            self._line(f"{self.title}: {message.message}")
        elif isinstance(message, events.CheckpointDone):
            self._line(f"{self.title}: {100 * message.clean_accuracy:.1f} % clean accuracy")
        elif isinstance(message, events.Failed):
            self._clear()
            complain(message.field or message.reason, message.message, message.remedy)
        elif isinstance(message, events.Done):
            self._line(f"{self.title}: done in {message.seconds:.1f} s")

    def _progress(self, message: events.Progress) -> None:
        if not self.is_live:
            return
        values = "".join(f"  {name} {value:.4g}" for name, value in message.values.items())
        text = f"{self.title}: {message.stage} {message.done}/{message.total} {message.unit}"
        print(f"\r\x1b[K{text}  {message.detail}{values}", end="", file=sys.stderr, flush=True)
        self.drawn = True

    def _line(self, text: str) -> None:
        self._clear()
        if not self.is_quiet:
            print(text, file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self.drawn:
            print("\r\x1b[K", end="", file=sys.stderr)
            self.drawn = False
