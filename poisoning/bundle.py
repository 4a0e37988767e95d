"""A bundle: what was run and what came out, as one zip file that can be checked elsewhere.

Specs, every trial's setup and hashes, every outcome, under what each was made, the checkpoints'
cards, and the tables that follow from them; optionally the poison sets. No torch in here.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, TypeAdapter, ValidationError

from poisoning import archive, catalog, sheets
from poisoning.archive import BundleError, Kind
from poisoning.events import Extras, Judged, Message, Setup, TrialDone
from poisoning.results import Results
from poisoning.source import source
from poisoning.spec import Access, ExperimentSpec, digest, spec_hash
from poisoning.studies import STUDIES

MIB = 2**20
KINDS = {
    "text": Kind(
        re.compile(
            r"manifest\.json|README\.md|(experiments|checkpoints|provenances)\.json|"
            r"(trials|outcomes)\.jsonl|outcomes\.csv|tables/[a-z0-9][a-z0-9_-]{0,79}\.(csv|md)"
        ),
        128 * MIB,
        512 * MIB,
    ),
    "poisons": Kind(re.compile(r"poisons/[0-9a-f]{64}\.safetensors"), 512 * MIB, 64 * 1024 * MIB),
}
README = """# A bundle of Dosimeter

`manifest.json` names every other file with its sha256. `experiments.json` has the specs,
`trials.jsonl` each trial's setup and hashes, `outcomes.jsonl` each trial on each victim beside its
clean twin (the same as a flat table: `outcomes.csv`), `provenances.json` under what they were made,
`checkpoints.json` the networks' cards, `tables/` what follows from the outcomes.

To check it, re-running some of its trials:

    python -m poisoning verify THIS_FILE.zip --sample 3
"""


class About(Message):
    """What a bundle is of. ``date`` is that of its newest result, so that the same results make
    the same bytes whenever they are exported.
    """

    kind: Literal["study", "experiment", "run"]
    title: str
    name: str | None = None  # a study's
    profile: str | None = None
    rules: str | None = None  # digest of all specs the study has, as the program had it
    permalink: str | None = None
    date: datetime | None = None


def rules(name: str, profile: str) -> str | None:
    """What a study runs, as a digest; None where there is no such study or profile."""
    study = STUDIES.get(name)
    if study is None or profile not in study.profiles:
        return None
    return digest([spec.model_dump(mode="json") for _, spec in study.experiments(profile)])  # type: ignore[arg-type]


class Member(Message):
    sha256: str
    bytes: int


class Manifest(About):
    format: Literal["dosimeter-bundle/1"] = "dosimeter-bundle/1"
    program: dict[str, Any]  # a Source: what wrote it
    members: dict[str, Member]


FORMAT = Manifest.model_fields["format"].default


class ExperimentRow(Message):
    id: int
    title: str
    state: str
    spec: ExperimentSpec
    spec_hash: str
    attack_version: int
    is_sequential: bool = False  # its intervals are confidence sequences


class TrialRow(Message):
    """One trial without its outcomes; ``provenance`` is the digest of one of provenances.json."""

    experiment: int
    trial: int
    setup: Setup
    poison_set: str
    craft_hash: str
    craft_seconds: float
    craft_device_seconds: float | None
    linf_255: int
    mean_l2: float
    ssim: float
    final_loss: float | None
    provenance: str | None


class OutcomeRow(Message):
    experiment: int
    trial: int
    victim: int
    access: Access
    success: bool
    poisoned: Judged
    twin: Judged
    twin_success: bool
    clean_images: int
    seconds: float
    device_seconds: float | None
    outcome_hash: str
    extras: Extras
    provenance: str | None


class CheckpointRow(Message):
    name: str
    sha256: str
    card: dict[str, Any]


@dataclass(frozen=True)
class Ran:
    """One experiment as it goes into a bundle."""

    id: int
    state: str
    results: Results


@dataclass(frozen=True)
class Bundle:
    about: About
    experiments: list[ExperimentRow]
    trials: list[TrialRow]
    outcomes: list[OutcomeRow]
    checkpoints: list[CheckpointRow]
    provenances: dict[str, dict[str, Any]] = field(default_factory=dict)

    def results(self) -> list[Results]:
        """As the science counts them, in the order of the experiments."""
        outcomes: dict[tuple[int, int], list[OutcomeRow]] = {}
        for row in self.outcomes:
            outcomes.setdefault((row.experiment, row.trial), []).append(row)
        found = {
            one.id: Results(one.title, one.spec, is_sequential=one.is_sequential)
            for one in self.experiments
        }
        for trial in self.trials:
            its = outcomes.get((trial.experiment, trial.trial), [])
            found[trial.experiment].trials.append(_done(trial, its))
        return list(found.values())


def of_results(about: About, found: Sequence[Ran], checkpoints: Iterable[CheckpointRow]) -> Bundle:
    """The bundle of experiments and those of their trials that are done."""
    kept = _Provenances()
    experiments, trials, outcomes = [], [], []
    for one in found:
        experiments.append(_experiment(one))
        for done in sorted(one.results.trials, key=lambda trial: trial.index):
            trials.append(_trial(one.id, done, kept))
            outcomes += [_outcome(one.id, done.index, result, kept) for result in done.outcomes]
    rows = sorted(checkpoints, key=lambda row: row.name)
    return Bundle(about, experiments, trials, outcomes, rows, dict(sorted(kept.data.items())))


class _Provenances:
    """Each distinct content once; the same object is not hashed again."""

    def __init__(self) -> None:
        self.data: dict[str, dict[str, Any]] = {}
        self._seen: dict[int, str] = {}

    def key(self, data: dict[str, Any] | None) -> str | None:
        if data is None:
            return None
        if id(data) not in self._seen:
            sha256 = digest(data)
            self._seen[id(self.data.setdefault(sha256, data))] = sha256
            return sha256
        return self._seen[id(data)]


def _experiment(one: Ran) -> ExperimentRow:
    spec = one.results.spec
    return ExperimentRow(
        id=one.id,
        title=one.results.title,
        state=one.state,
        spec=spec,
        spec_hash=spec_hash(spec),
        attack_version=catalog.attack(spec.attack.name).version,
        is_sequential=one.results.is_sequential,
    )


def _trial(experiment: int, done: TrialDone, kept: _Provenances) -> TrialRow:
    loss = done.final_loss
    return TrialRow(
        experiment=experiment,
        trial=done.index,
        poison_set=done.poison_set_hash,
        provenance=kept.key(done.provenance),
        final_loss=loss if loss is not None and math.isfinite(loss) else None,
        **{name: getattr(done, name) for name in _SAME_OF_TRIALS},
    )


def _outcome(experiment: int, trial: int, result: Any, kept: _Provenances) -> OutcomeRow:
    return OutcomeRow(
        experiment=experiment,
        trial=trial,
        provenance=kept.key(result.provenance),
        **{name: getattr(result, name) for name in _SAME_OF_OUTCOMES},
    )


def _done(trial: TrialRow, outcomes: Sequence[Any]) -> TrialDone:
    """``outcomes``: rows, which have what is counted of an OutcomeResult."""
    return TrialDone.model_construct(
        index=trial.trial,
        poison_set="",
        poison_set_hash=trial.poison_set,
        final_loss=trial.final_loss,
        outcomes=tuple(sorted(outcomes, key=lambda row: row.victim)),
        **{name: getattr(trial, name) for name in _SAME_OF_TRIALS},
    )


_OWN = {"experiment", "trial", "poison_set", "provenance", "final_loss"}
_SAME_OF_TRIALS = sorted(TrialRow.model_fields.keys() - _OWN)
_SAME_OF_OUTCOMES = sorted(OutcomeRow.model_fields.keys() - _OWN)


# --- writing ----------------------------------------------------------------------------------


def write(bundle: Bundle, file: IO[bytes], poisons: Mapping[str, Path] | None = None) -> None:
    """Write a bundle; ``poisons``: the poison sets that go in, by their sha256.

    The same content gives the same bytes, but for what another version of zlib compresses
    otherwise. Raises BundleError where a poison set is not what its hash says.
    """
    members, files = texts(bundle), {}
    hashed = {
        name: Member(sha256=archive.sha256_of(text), bytes=len(text))
        for name, text in members.items()
    }
    for sha256, path in (poisons or {}).items():
        name = f"poisons/{sha256}.safetensors"
        if archive.sha256_of(path) != sha256:
            raise BundleError(name, "is not what its hash says; its file was changed")
        files[name] = path
        hashed[name] = Member(sha256=sha256, bytes=path.stat().st_size)
    manifest = Manifest(
        **bundle.about.model_dump(), program=asdict(source()), members=dict(sorted(hashed.items()))
    )
    archive.write(file, members | {"manifest.json": _json(manifest)}, files.items())


def texts(bundle: Bundle) -> dict[str, bytes]:
    """Every member but the manifest and the poison sets."""
    found = bundle.results()
    return {
        "README.md": README.encode(),
        "experiments.json": _json(bundle.experiments),
        "trials.jsonl": _lines(bundle.trials),
        "outcomes.jsonl": _lines(bundle.outcomes),
        "outcomes.csv": sheets.outcomes(bundle).encode(),
        "provenances.json": _json(bundle.provenances),
        "checkpoints.json": _json(bundle.checkpoints),
        **sheets.tables(bundle.about.name, bundle.about.profile, found),
    }


def _json(value: Any) -> bytes:
    plain = TypeAdapter(Any).dump_python(value, mode="json")
    return (json.dumps(plain, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _lines(rows: Sequence[BaseModel]) -> bytes:
    form = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
    return "".join(f"{form.encode(row.model_dump(mode='json'))}\n" for row in rows).encode()


# --- reading ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Received:
    """A bundle that was read: every member is what the manifest says."""

    path: Path
    sha256: str  # of the file
    manifest: Manifest
    bundle: Bundle
    texts: dict[str, bytes]  # members but the poison sets

    def poison_set(self, sha256: str) -> bytes | None:
        """A poison set's file; None where the bundle has it not."""
        name = f"poisons/{sha256}.safetensors"
        if name not in self.manifest.members:
            return None
        with archive.Archive(self.path, KINDS) as opened:
            return opened.read(name)


def read(path: Path) -> Received:
    """Read a bundle without trusting it. Raises BundleError, which names the member."""
    with archive.Archive(path, KINDS) as opened:
        if "manifest.json" not in opened.names:
            raise BundleError("manifest.json", "is missing: this is no bundle")
        manifest = _manifest(opened.read("manifest.json"))
        for name in sorted(opened.names - manifest.members.keys() - {"manifest.json"}):
            raise BundleError(name, "is not in the manifest")
        for name in sorted(manifest.members.keys() - opened.names):
            raise BundleError(name, "is missing")
        found = {name: _member(opened, name, manifest) for name in sorted(manifest.members)}
    bundle = Bundle(
        about=About(**{name: getattr(manifest, name) for name in About.model_fields}),
        experiments=_parsed(found, "experiments.json", list[ExperimentRow]),
        trials=_rows(found, "trials.jsonl", TrialRow),
        outcomes=_rows(found, "outcomes.jsonl", OutcomeRow),
        checkpoints=_parsed(found, "checkpoints.json", list[CheckpointRow]),
        provenances=_parsed(found, "provenances.json", dict[str, dict[str, Any]]),
    )
    kept = {name: data for name, data in found.items() if data is not None}
    return Received(path, archive.sha256_of(path), manifest, bundle, kept)


class _Format(BaseModel):
    format: str


def _manifest(data: bytes) -> Manifest:
    try:
        found = _Format.model_validate_json(data).format
    except ValidationError:
        raise BundleError("manifest.json", "is no manifest: it names no format") from None
    if found != FORMAT:
        raise BundleError("manifest.json", f"is of format {found[:60]!r}; this reads {FORMAT!r}")
    return _valid("manifest.json", data, Manifest)  # type: ignore[no-any-return]


def _member(opened: archive.Archive, name: str, manifest: Manifest) -> bytes | None:
    """A text, checked; a poison set is checked and not kept."""
    data, said = opened.read(name), manifest.members[name]
    if len(data) != said.bytes or archive.sha256_of(data) != said.sha256:
        raise BundleError(name, "is not what the manifest says; it was changed")
    if not name.startswith("poisons/"):
        return data
    if name != f"poisons/{said.sha256}.safetensors":
        raise BundleError(name, "does not have the hash that it is named by")
    return None


def _parsed(found: Mapping[str, bytes | None], name: str, kind: Any) -> Any:
    return _valid(name, found.get(name), kind)


def _rows(found: Mapping[str, bytes | None], name: str, kind: type[BaseModel]) -> list[Any]:
    data = found.get(name)
    if data is None:
        raise BundleError(name, "is missing")
    lines = data.split(b"\n")
    if lines.pop():
        raise BundleError(name, "ends in the middle of a line")
    return [_valid(f"{name}, line {n}", line, kind) for n, line in enumerate(lines, 1)]


def _valid(name: str, data: bytes | None, kind: Any) -> Any:
    if data is None:
        raise BundleError(name, "is missing")
    try:
        return TypeAdapter(kind).validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise BundleError(name, f"{place}: {first['msg']}") from None
