"""How a trial was made: under what its poisons were crafted and each victim was judged."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.schemas import OutcomeView, ProvenanceView, TrialView
from app.web import words
from poisoning import catalog, certificates

Facts = list[tuple[str, str]]


@dataclass(frozen=True)
class Making:
    """One provenance, and what of the trial was made under it."""

    what: str
    sha256: str
    facts: Facts
    md5: str
    checkpoints: list[tuple[str, str]] = field(default_factory=list)  # name, sha256
    note: str = ""


def of(trial: TrialView, kept: Mapping[str, ProvenanceView], attack: str) -> list[Making]:
    """One for each distinct provenance; nothing where none was kept."""
    made: dict[str, list[str]] = {}
    if trial.provenance:
        made.setdefault(trial.provenance, []).append("poisons")
    for outcome in trial.outcomes:
        if outcome.provenance:
            made.setdefault(outcome.provenance, []).append(_who(outcome))
    is_one = len(made) == 1
    return [
        _making("" if is_one else _listed(what), kept[sha256], attack)
        for sha256, what in made.items()
        if sha256 in kept
    ]


@dataclass(frozen=True)
class Time:
    """How long one part of a trial took, by the clock and of the device."""

    name: str
    seconds: float | None
    device_seconds: float | None
    what: str = ""


def times(trial: TrialView) -> list[Time]:
    """Of crafting, and of every victim."""
    crafted = Time("Crafting took", trial.craft_seconds, trial.craft_device_seconds)
    victims = [
        Time(f"{words.access(o.access)} took", o.seconds, o.device_seconds, f"{o.title}, and twin")
        for o in trial.outcomes
    ]
    return [crafted, *victims]


def _who(outcome: OutcomeView) -> str:
    return f"{words.access(outcome.access).lower()} {outcome.title}"


def _listed(what: list[str]) -> str:
    text = ", ".join(what)
    return text[:1].upper() + text[1:]


def _making(what: str, kept: ProvenanceView, attack: str) -> Making:
    data = kept.data
    dataset, checkpoints = _part(data, "dataset"), _part(data, "checkpoints")
    return Making(
        what=what,
        sha256=kept.sha256,
        facts=[(name, value) for name, value in _facts(data, dataset, attack) if value],
        md5=str(dataset.get("md5", "")),
        checkpoints=sorted((str(k), str(v)) for k, v in checkpoints.items()),
        note=str(data.get("note", "")),
    )


def _facts(data: dict[str, Any], dataset: dict[str, Any], attack: str) -> Facts:
    precision, versions = _part(data, "precision"), _part(data, "versions")
    known = catalog.DATASETS.get(str(dataset.get("name")))
    asked, computes = precision.get("asked"), precision.get("computes")
    hardware, device = str(data.get("hardware", "")), str(data.get("device", ""))
    places = [hardware] if device == "cpu" and hardware else [hardware, device]
    return [
        ("Program", _program(_part(data, "program"))),
        ("Computed on", ", ".join(place for place in places if place)),
        ("Precision", f"{asked}, which is {computes} there" if asked else ""),
        ("Fast beside exact", _certified(attack, data) if asked == "fast" else ""),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("Data set", known.title if known else str(dataset.get("name", ""))),
    ]


def _certified(attack: str, data: dict[str, Any]) -> str:
    kind = str(data.get("kind", ""))
    found = certificates.find(attack, kind)
    return found.words if found else f"not compared on {kind or 'this hardware'}: ranks among fast"


def _program(program: dict[str, Any]) -> str:
    if not program:
        return ""
    commit = program.get("commit")
    changed = ", with changes that were not committed" if program.get("is_dirty") else ""
    return f"Dosimeter {program.get('version')}, commit {commit or 'not known'}{changed}"


def _part(data: dict[str, Any], name: str) -> dict[str, Any]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}
