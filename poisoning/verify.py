"""Trials of a bundle, run again here: do the verdicts match, and are the bits the same?

Nothing of the bundle's results is used but to compare: setups, poisons and victims follow from the
spec, checkpoints from their recipes. Floating point differs between processors, versions and
batches, so that equal verdicts are the claim, and equal bits are more than that.
"""

import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from poisoning import poison_set, work
from poisoning.bundle import CheckpointRow, ExperimentRow, OutcomeRow, Received, TrialRow
from poisoning.events import (
    Failed,
    Log,
    Machine,
    Message,
    OutcomeResult,
    PretrainJob,
    Started,
    TrialDone,
    TrialsJob,
)
from poisoning.models import store
from poisoning.naming import victim_name
from poisoning.poison_set import PoisonSetError
from poisoning.spec import ExperimentSpec, PretrainSpec, spec_hash

Show = Callable[[str, Message], None]  # what is worked on, and what it says


@dataclass(frozen=True)
class Place:
    """Where to work, and what with. ``given`` are folders that may hold checkpoints."""

    data_dir: Path
    out: Path
    device: str = "auto"
    threads: int | None = None
    given: tuple[Path, ...] = ()

    def machine(self, folder: Path) -> Machine:
        return Machine(
            data_dir=str(self.data_dir),
            work_dir=str(folder.resolve()),
            device=self.device,
            threads=self.threads,
        )


@dataclass(frozen=True)
class Network:
    """A checkpoint as it was had here. ``said`` is the sha256 in the bundle."""

    name: str
    path: Path
    sha256: str
    said: str
    was_trained: bool
    clean_accuracy: float

    @property
    def is_same(self) -> bool:
        return self.sha256 == self.said


@dataclass(frozen=True)
class Judged:
    """One outcome there and here: fooled, and its twin."""

    victim: str
    there: tuple[bool, bool]
    here: tuple[bool, bool]
    margins_there: tuple[float, float]
    margins_here: tuple[float, float]

    @property
    def is_same(self) -> bool:
        return self.there == self.here

    @property
    def margin_difference(self) -> float:
        """The larger of the victim's and its twin's, in logits."""
        pairs = zip(self.margins_there, self.margins_here, strict=True)
        return max(abs(there - here) for there, here in pairs)


@dataclass(frozen=True)
class Compared:
    """One trial there and here. ``pixels``: the largest difference of a pixel in steps of 1/255,
    and the share of values that differ; None where the bundle has no poison sets.
    """

    experiment: int
    title: str
    trial: int
    judged: tuple[Judged, ...]
    is_same_setup: bool
    is_same_craft: bool  # craft_hash: made of the same things
    is_same_set: bool  # hash of the poison set: the same bits
    pixels: tuple[int, float] | None

    @property
    def is_same(self) -> bool:
        return self.is_same_setup and all(one.is_same for one in self.judged)


@dataclass(frozen=True)
class Missing:
    """One drawn trial that could not be run here."""

    experiment: int
    title: str
    trial: int
    why: str


@dataclass
class Report:
    compared: list[Compared] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    networks: dict[str, Network] = field(default_factory=dict)
    here: dict[str, Any] = field(default_factory=dict)  # provenance of this machine


def draw(received: Received, sample: int, seed: int) -> list[TrialRow]:
    """So many of its trials, or all of them where there are fewer; in the bundle's order."""
    trials = received.bundle.trials
    chosen = random.Random(seed).sample(range(len(trials)), min(sample, len(trials)))
    return [trials[index] for index in sorted(chosen)]


def rerun(received: Received, drawn: Sequence[TrialRow], place: Place, show: Show) -> Report:
    """Run the drawn trials again and compare; checkpoints that are missing are trained first."""
    report = Report()
    place.out.mkdir(parents=True, exist_ok=True)
    for experiment, spec, rows in _groups(received, drawn):
        try:
            report.compared += _again(received, experiment, spec, rows, place, report, show)
        except Lacking as lacking:
            title, why = experiment.title, str(lacking)
            report.missing += [Missing(experiment.id, title, row.trial, why) for row in rows]
    return report


def _again(
    received: Received,
    experiment: ExperimentRow,
    spec: ExperimentSpec,
    rows: Sequence[TrialRow],
    place: Place,
    report: Report,
    show: Show,
) -> list[Compared]:
    """These trials in a fresh folder, without any cache. Raises Lacking."""
    names = dict.fromkeys(name for _, name in spec.checkpoint_names())
    networks = [_network(name, received, place, report, show) for name in names]
    with tempfile.TemporaryDirectory(dir=place.out) as folder:
        job = TrialsJob(
            spec=spec,
            indices=tuple(row.trial for row in rows),
            checkpoints={one.name: str(one.path) for one in networks},
            machine=place.machine(Path(folder)),
        )
        done = {one.index: one for one in _run(job, experiment.title, report, show)}
        return [_compare(received, experiment, row, done[row.trial], Path(folder)) for row in rows]


class Lacking(Exception):
    """Why something cannot be run here."""


def _groups(
    received: Received, drawn: Sequence[TrialRow]
) -> Iterator[tuple[ExperimentRow, ExperimentSpec, list[TrialRow]]]:
    """Trials that can be run as one job: of one experiment, on the same checkpoints."""
    experiments = {one.id: one for one in received.bundle.experiments}
    groups: dict[tuple[int, str], tuple[ExperimentSpec, list[TrialRow]]] = {}
    for row in drawn:
        spec = experiments[row.experiment].spec.for_trial(row.trial)
        groups.setdefault((row.experiment, spec_hash(spec)), (spec, []))[1].append(row)
    for (number, _), (spec, rows) in groups.items():
        yield experiments[number], spec, rows


def _run(job: TrialsJob | PretrainJob, title: str, report: Report, show: Show) -> list[TrialDone]:
    """The trials of a job; Lacking where it failed."""
    done: list[TrialDone] = []

    def emit(message: Message) -> None:
        show(title, message)
        if isinstance(message, TrialDone):
            done.append(message)
        elif isinstance(message, Started):
            report.here = message.provenance

    failed = work.execute(job, emit)
    if failed is not None:
        raise Lacking(_in_words(failed))
    return done


def _in_words(failed: Failed) -> str:
    place = f"{failed.field}: " if failed.field else ""
    return f"{place}{failed.message}{f'; {failed.remedy}' if failed.remedy else ''}"


# --- checkpoints ------------------------------------------------------------------------------


def _network(name: str, received: Received, place: Place, report: Report, show: Show) -> Network:
    """A checkpoint by its hash from a folder that was given, or trained by its recipe."""
    if name not in report.networks:
        row = next((row for row in received.bundle.checkpoints if row.name == name), None)
        if row is None:
            raise Lacking(f"the bundle says nothing of checkpoint {name}")
        found = _given(row, place.given)
        report.networks[name] = found or _trained(row, place, report, show)
    return report.networks[name]


def _given(row: CheckpointRow, folders: Iterable[Path]) -> Network | None:
    for folder in folders:
        for path in sorted(folder.glob("*.safetensors")):
            try:
                card = store.read_card(path)
            except store.CheckpointError:
                continue
            if card.sha256 == row.sha256:
                return Network(row.name, path, card.sha256, row.sha256, False, card.clean_accuracy)
    return None


def _trained(row: CheckpointRow, place: Place, report: Report, show: Show) -> Network:
    recipe = row.card.get("recipe")
    if recipe is None:
        raise Lacking(
            f"checkpoint {row.name} ({row.sha256[:12]}) has no recipe to train it by; put its file "
            "and card into a folder and name that with --checkpoints"
        )
    try:
        spec = PretrainSpec.model_validate(recipe)
    except ValidationError as error:
        raise Lacking(
            f"the recipe of {row.name} cannot be used: {error.errors()[0]['msg']}"
        ) from None
    what = f"trained by its recipe: {spec.model} on {spec.dataset}, {spec.epochs} epochs"
    show(row.name, Log(message=what))
    folder = place.out / "checkpoints"
    _run(
        PretrainJob(name=row.name, spec=spec, machine=place.machine(folder)), row.name, report, show
    )
    path = folder / f"{row.name}.safetensors"
    card = store.read_card(path)
    return Network(row.name, path, card.sha256, row.sha256, True, card.clean_accuracy)


# --- comparing --------------------------------------------------------------------------------


def _compare(
    received: Received, experiment: ExperimentRow, row: TrialRow, done: TrialDone, folder: Path
) -> Compared:
    said = {
        one.victim: one
        for one in received.bundle.outcomes
        if (one.experiment, one.trial) == (row.experiment, row.trial)
    }
    names = [victim_name(victim) for victim in experiment.spec.victims]
    return Compared(
        experiment=experiment.id,
        title=experiment.title,
        trial=row.trial,
        judged=tuple(_judged(names[one.victim], said[one.victim], one) for one in done.outcomes),
        is_same_setup=done.setup == row.setup,
        is_same_craft=done.craft_hash == row.craft_hash,
        is_same_set=done.poison_set_hash == row.poison_set,
        pixels=_pixels(received, row, folder / done.poison_set),
    )


def _judged(victim: str, there: OutcomeRow, here: OutcomeResult) -> Judged:
    return Judged(
        victim,
        (there.success, there.twin_success),
        (here.success, here.twin_success),
        (there.poisoned.margin, there.twin.margin),
        (here.poisoned.margin, here.twin.margin),
    )


def _pixels(received: Received, row: TrialRow, made: Path) -> tuple[int, float] | None:
    """How far the bundle's own poisons are from those made here."""
    data = received.poison_set(row.poison_set)
    if data is None:
        return None
    there_file = made.with_name("there.safetensors")
    there_file.write_bytes(data)
    try:
        there, here = poison_set.load(there_file).poisons, poison_set.load(made).poisons
    except PoisonSetError:
        return None
    if there.shape != here.shape:
        return None
    apart = np.abs(there.astype(np.int16) - here.astype(np.int16))
    return int(apart.max()), float((apart > 0).mean())
