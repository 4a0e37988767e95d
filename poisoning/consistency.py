"""Whether what a bundle says follows from what it says: nothing is run for this. No torch.

Verdicts from predictions, access and hashes from specs and checkpoints, tables from outcomes.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from poisoning import __version__, catalog, identity
from poisoning import bundle as bundles
from poisoning.bundle import (
    Bundle,
    CheckpointRow,
    ExperimentRow,
    OutcomeRow,
    Received,
    TrialRow,
)
from poisoning.spec import ExperimentSpec, checkpoint_of, digest, spec_hash


def faults(received: Received) -> list[str]:
    """What does not hold, each in a sentence; empty where all of it does."""
    found = list(_structure(received.bundle))
    return found or [*_contents(received.bundle), *_tables(received)]  # whole rows are counted


# --- rows that belong together ----------------------------------------------------------------


def _structure(bundle: Bundle) -> Iterator[str]:
    victims = {one.id: len(one.spec.victims) for one in bundle.experiments}
    trials = {(one.experiment, one.trial) for one in bundle.trials}
    outcomes = [(one.experiment, one.trial, one.victim) for one in bundle.outcomes]
    yield from _twice("experiment", (one.id for one in bundle.experiments))
    yield from _twice("trial", ((one.experiment, one.trial) for one in bundle.trials))
    yield from _twice("outcome", outcomes)
    wanted = {(e, t, v) for e, t in trials for v in range(victims.get(e, 0))}
    for trial in bundle.trials:
        if trial.experiment not in victims or trial.trial < 0:
            yield f"{_name(trial)}: there is no such experiment or trial"
    for key in sorted(wanted - set(outcomes)):
        yield "experiment {}, trial {}: victim {} has no outcome".format(*key)
    for key in sorted(set(outcomes) - wanted):
        yield "experiment {}, trial {}: there is no such trial or victim {}".format(*key)
    rows: list[TrialRow | OutcomeRow] = [*bundle.trials, *bundle.outcomes]
    for row in rows:
        if row.provenance is not None and row.provenance not in bundle.provenances:
            yield f"{_name(row)}: its provenance is missing"


def _twice(what: str, keys: Iterable[Hashable]) -> Iterator[str]:
    for key, count in Counter(keys).items():
        if count > 1:
            yield f"{what} {key} stands there {count} times"


def _name(row: TrialRow | OutcomeRow) -> str:
    victim = f", victim {row.victim}" if isinstance(row, OutcomeRow) else ""
    return f"experiment {row.experiment}, trial {row.trial}{victim}"


# --- what follows from what -------------------------------------------------------------------


def _contents(bundle: Bundle) -> Iterator[str]:
    for sha256, data in bundle.provenances.items():
        if digest(data) != sha256:
            yield f"provenance {sha256[:12]} is not what its hash says"
    experiments = {one.id: one for one in bundle.experiments}
    cards = {one.name: one for one in bundle.checkpoints}
    for one in bundle.experiments:
        if spec_hash(one.spec) != one.spec_hash:
            yield f"experiment {one.id}: its spec_hash does not follow from its spec"
    crafted: dict[tuple[int, int], Trial] = {}
    for row in bundle.trials:
        trial = Trial(bundle, cards, experiments[row.experiment], row)
        crafted[row.experiment, row.trial] = trial
        yield from (f"{_name(row)}: {fault}" for fault in trial.faults())
    for outcome in bundle.outcomes:
        trial = crafted[outcome.experiment, outcome.trial]
        yield from (f"{_name(outcome)}: {fault}" for fault in trial.faults_of(outcome))


@dataclass(frozen=True)
class Trial:
    """One trial with what its hashes follow from, as far as the bundle says."""

    bundle: Bundle
    cards: Mapping[str, CheckpointRow]
    experiment: ExperimentRow
    row: TrialRow

    @cached_property
    def spec(self) -> ExperimentSpec:
        return self.experiment.spec.for_trial(self.row.trial)

    def _part(self, provenance: str | None, name: str) -> dict[str, str]:
        found = self.bundle.provenances.get(provenance or "", {}).get(name)
        return found if isinstance(found, dict) else {}

    def checkpoint(self, name: str, provenance: str | None) -> tuple[str | None, str | None]:
        """(sha256, model) of a checkpoint as it was then; None where the bundle does not say."""
        listed = self.cards.get(name)
        sha256 = self._part(provenance, "checkpoints").get(name)
        model = listed.card.get("model") if listed else None
        return sha256 or (listed.sha256 if listed else None), model

    def faults(self) -> Iterator[str]:
        spec, row = self.spec, self.row
        eps_255 = getattr(spec.attack, "eps_255", None)
        if eps_255 is not None and row.linf_255 > eps_255:
            yield f"a pixel is changed by {row.linf_255}/255, more than {eps_255:g}/255"
        if not _are_finite(row.craft_seconds, row.mean_l2, row.ssim):
            yield "a measurement is no number"
        md5 = self._part(row.provenance, "dataset").get("md5")
        known = [self.checkpoint(name, row.provenance)[0] for name in spec.surrogates]
        surrogates = [sha256 for sha256 in known if sha256 is not None]
        if md5 is None or len(surrogates) < len(known):
            return  # an earlier version, which did not write these down
        version = self.experiment.attack_version
        made = identity.craft_hash(spec, row.trial, row.setup, surrogates, md5, version)
        if made != row.craft_hash:
            yield "its craft_hash does not follow from its spec, setup and surrogates"

    def faults_of(self, outcome: OutcomeRow) -> Iterator[str]:
        base = self.row.setup.base_class
        for who, judged, success in (
            ("it", outcome.poisoned, outcome.success),
            ("its twin", outcome.twin, outcome.twin_success),
        ):
            if success != (judged.prediction == base):
                said = "fooled" if success else "not fooled"
                yield f"{who} is said to be {said}; its prediction says otherwise"
            if not _are_fractions(judged.confidence, judged.clean_accuracy):
                yield f"{who} has a confidence or an accuracy that is no fraction"
            if not _are_finite(judged.margin, outcome.seconds):
                yield f"{who} has a measurement that is no number"
        yield from self._identity_faults(outcome)

    def _identity_faults(self, outcome: OutcomeRow) -> Iterator[str]:
        spec, trial = self.spec, self.row
        victim, kept = spec.victims[outcome.victim], outcome.provenance
        name = checkpoint_of(victim)
        sha256, model = self.checkpoint(name, kept) if name else (None, _model(victim))
        if name is not None and sha256 is None:
            return  # an earlier version, or a checkpoint that is gone
        made = identity.outcome_hash(spec, trial.trial, victim, trial.craft_hash, sha256)
        if made != outcome.outcome_hash:
            yield "its outcome_hash does not follow from its craft_hash, victim and checkpoint"
        known = [self.checkpoint(one, kept) for one in spec.surrogates]
        if model is not None and all(one[0] and one[1] for one in known):
            access = identity.access(sha256, model, known)
            if access != outcome.access:
                yield f"it is said to be a {outcome.access}; by its checkpoints it is a {access}"


def _model(victim: object) -> str | None:
    return getattr(victim, "model", None)


def _are_finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)


def _are_fractions(*values: float) -> bool:
    return all(0 <= value <= 1 for value in values)


def _tables(received: Received) -> Iterator[str]:
    """The flat table and the tables of rates, made again from the outcomes."""
    made, said = bundles.texts(received.bundle), received.texts
    version = received.manifest.program.get("version")
    other = "" if version == __version__ else f" (written by version {version}; here {__version__})"
    for name in sorted(made.keys() | said.keys()):
        is_made = name == "outcomes.csv" or name.startswith("tables/")
        if is_made and made.get(name) != said.get(name):
            yield f"{name} does not follow from the outcomes{other}"


def notes(bundle: Bundle) -> list[str]:
    """What changed since in the program, and is no fault of the bundle."""
    about = bundle.about
    found = [
        f"{one.title}: {one.spec.attack.name} was version {one.attack_version}; here it is "
        f"{catalog.attack(one.spec.attack.name).version}, so its poisons need not agree"
        for one in bundle.experiments
        if catalog.attack(one.spec.attack.name).version != one.attack_version
    ]
    if about.rules and about.rules != bundles.rules(about.name or "", about.profile or ""):
        found.append(f"the study {about.name} runs something else here, or is not known")
    return found
