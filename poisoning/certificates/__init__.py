"""Whether ``fast`` comes to what ``exact`` comes to, once for each attack, version and hardware.

A certificate is the same experiment in both precisions: the same setups, seeds and draws, so that
trials come in pairs. It is granted where, for every victim, the 90 % interval of the difference in
success lies within 5 points of 0 and mean clean accuracy differs by at most 0.3 points. Those in
this folder come with the project. No torch in here.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from poisoning import catalog, stats
from poisoning.events import OutcomeResult
from poisoning.naming import victim_name
from poisoning.results import Results
from poisoning.spec import ExperimentSpec, FieldError

FOLDER = Path(__file__).parent
TRIALS = 100  # at least
LEVEL = 0.90
MOST = 0.05  # of the difference in success, either way
MOST_CLEAN = 0.003  # of the difference in clean accuracy


class Pair(BaseModel):
    """One victim in both precisions, on the same trials."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    victim: str
    both: int  # trials in which both are fooled
    only_exact: int
    only_fast: int
    neither: int
    clean_exact: float  # fraction, mean over the trials
    clean_fast: float

    @property
    def n(self) -> int:
        return self.both + self.only_exact + self.only_fast + self.neither

    @property
    def difference(self) -> tuple[float, stats.Interval]:
        """Success in fast minus in exact, with Newcombe's paired interval at LEVEL."""
        return stats.paired_excess(
            self.both, self.only_fast, self.only_exact, self.neither, level=LEVEL
        )

    @property
    def is_equal(self) -> bool:
        interval = self.difference[1]
        is_near = interval.low >= -MOST and interval.high <= MOST
        return is_near and abs(self.clean_fast - self.clean_exact) <= MOST_CLEAN


class Certificate(BaseModel):
    """What was compared, where, and what came out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attack: str
    version: int
    kind: str  # of hardware, devices.kind's
    hardware: str
    computes: str  # what fast is there
    spec: ExperimentSpec  # in exact precision
    pairs: tuple[Pair, ...]
    versions: dict[str, str]
    date: str

    @property
    def n(self) -> int:
        return min(pair.n for pair in self.pairs)

    @property
    def is_granted(self) -> bool:
        return self.n >= TRIALS and all(pair.is_equal for pair in self.pairs)

    @property
    def is_reduced(self) -> bool:
        """Fewer steps or smaller networks than published: it says so wherever it is shown."""
        return self.spec.profile != "paper"

    @property
    def words(self) -> str:
        """In one sentence."""
        if not self.is_granted:
            return f"not certified on {self.kind}: {self._apart()} (n = {self.n})"
        small = ", at reduced size" if self.is_reduced else ""
        return f"certified on {self.kind}{small}: {self._apart()} (n = {self.n})"

    def _apart(self) -> str:
        found = [(pair.victim, *pair.difference) for pair in self.pairs]
        return "; ".join(
            f"{victim} {100 * gap:+.1f} points [{100 * its.low:+.1f}, {100 * its.high:+.1f}]"
            for victim, gap, its in found
        )


def compare(exact: Results, fast: Results) -> Certificate:
    """Of one experiment that was run in both precisions.

    Raises FieldError where the two are not the same experiment, or have no trial in common.
    """
    same = fast.spec.model_copy(update={"precision": "exact"})
    if (exact.spec.precision, fast.spec.precision) != ("exact", "fast") or same != exact.spec:
        raise FieldError("precision", "these are not one experiment in both precisions")
    mine = {trial.index: trial for trial in exact.trials}
    shared = sorted(trial.index for trial in fast.trials if trial.index in mine)
    if not shared:
        raise FieldError("trials", "there is no trial in both precisions")
    theirs = {trial.index: trial for trial in fast.trials}
    made = theirs[shared[0]].outcomes[0].provenance or {}
    return Certificate(
        attack=exact.spec.attack.name,
        version=catalog.attack(exact.spec.attack.name).version,
        kind=str(made.get("kind", "")),
        hardware=str(made.get("hardware", "")),
        computes=str((made.get("precision") or {}).get("computes", "")),
        spec=exact.spec,
        pairs=tuple(
            _pair(
                victim_name(victim),
                [mine[index].outcomes[v] for index in shared],
                [theirs[index].outcomes[v] for index in shared],
            )
            for v, victim in enumerate(exact.spec.victims)
        ),
        versions=made.get("versions") or {},
        date=datetime.now(UTC).date().isoformat(),
    )


def _pair(victim: str, exact: Sequence[OutcomeResult], fast: Sequence[OutcomeResult]) -> Pair:
    fooled = [(e.success, f.success) for e, f in zip(exact, fast, strict=True)]
    return Pair(
        victim=victim,
        both=fooled.count((True, True)),
        only_exact=fooled.count((True, False)),
        only_fast=fooled.count((False, True)),
        neither=fooled.count((False, False)),
        clean_exact=sum(e.poisoned.clean_accuracy for e in exact) / len(exact),
        clean_fast=sum(f.poisoned.clean_accuracy for f in fast) / len(fast),
    )


def save(certificate: Certificate, folder: Path = FOLDER) -> Path:
    """As ``<attack>-v<version>-<kind>.json``."""
    kind = certificate.kind.replace(" ", "_").replace("/", "_")
    path = folder / f"{certificate.attack}-v{certificate.version}-{kind}.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(certificate.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path


@cache
def _all(folder: Path) -> tuple[Certificate, ...]:
    found = sorted(folder.glob("*.json"))
    return tuple(Certificate.model_validate_json(path.read_bytes()) for path in found)


def of_attack(name: str) -> list[Certificate]:
    """Those of the attack's version here, on any hardware."""
    version = catalog.attack(name).version
    return [c for c in _all(FOLDER) if (c.attack, c.version) == (name, version)]


def find(name: str, kind: str) -> Certificate | None:
    """The attack's on that kind of hardware; None where nobody compared."""
    return next((c for c in of_attack(name) if c.kind == kind), None)
