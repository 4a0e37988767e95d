"""The command that checks a bundle: what follows from what, and some of its trials again.

Exit status: 0 all verdicts match; 1 one does not, or the bundle contradicts itself; 2 it is no
bundle, or was changed; 3 something that was drawn could not be run here.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from poisoning import bundle, consistency
from poisoning.archive import BundleError
from poisoning.bundle import About, CheckpointRow, Ran, Received
from poisoning.events import Message
from poisoning.results import Results
from poisoning.sheets import made_under
from poisoning.spec import FieldError

if TYPE_CHECKING:
    from poisoning.verify import Compared, Report

DIFFERS, LACKING = 1, 3
SHOWN_FAULTS = 20
Add = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]
Screen = Callable[[str, Message], None]


def add_commands(add: Add, data_dir: Path, screen: Screen) -> None:
    """The parser of ``verify``; ``screen`` shows what a job says."""
    one = add(
        "verify",
        lambda given: _verify(given, screen),
        "check a bundle and run some of its trials again",
    )
    one.add_argument("bundle", type=Path)
    one.add_argument("--sample", type=int, default=3, help="trials to run again; 0: only check")
    one.add_argument("--seed", type=int, default=0, help="of the draw; choose one of your own")
    one.add_argument("--checkpoints", type=Path, action="append", default=[], metavar="FOLDER",
                     help="may hold checkpoints, so that they are not trained")  # fmt: skip
    one.add_argument("--data-dir", type=Path, default=data_dir)
    one.add_argument("--out", type=Path, default=Path("results") / "verify")
    one.add_argument("--device", default="auto")
    one.add_argument("--threads", type=int, default=None)


def _verify(given: argparse.Namespace, screen: Screen) -> int:
    if given.sample < 0:
        raise FieldError("--sample", "is a number of trials, 0 or more")
    try:
        received = bundle.read(given.bundle)
    except BundleError as error:
        raise FieldError(_plain(error.member), f"{_plain(error.message)}; it is refused") from None
    _head(received)
    faults = consistency.faults(received)
    for fault in faults[:SHOWN_FAULTS]:
        print(f"does not hold: {_plain(fault)}")
    if faults:
        print(
            f"\nThe bundle contradicts itself in {_count(len(faults), 'place')}; nothing was run."
        )
        return DIFFERS
    print("Its hashes, verdicts and tables follow from its specs and outcomes.")
    for note in consistency.notes(received.bundle):
        print(f"note: {_plain(note)}")
    return _again(received, given, screen)


def _head(received: Received) -> None:
    about, program, made = received.manifest, received.manifest.program, received.bundle
    kind = f"{about.kind}, {about.profile}" if about.profile else about.kind
    print(_plain(f"{about.title} ({kind})"))
    print(f"  {_count(len(made.experiments), 'experiment')}, {_count(len(made.trials), 'trial')}, "
          f"{_count(len(made.outcomes), 'outcome')}")  # fmt: skip
    if about.permalink:
        print(f"  from {_plain(about.permalink)}")
    version, commit = (_plain(str(program.get(name))) for name in ("version", "commit"))
    changed = ", with changes" if program.get("is_dirty") else ""
    print(f"  written by Dosimeter {version}, commit {commit}{changed}")
    print(f"  sha256 of the file {received.sha256}")


def _again(received: Received, given: argparse.Namespace, screen: Screen) -> int:
    from poisoning import verify  # torch

    drawn = verify.draw(received, given.sample, given.seed)
    if not drawn:
        print("No trial was run again.")
        return 0
    print(f"Running {len(drawn)} of {_count(len(received.bundle.trials), 'trial')} again "
          f"(drawn with seed {given.seed}).", flush=True)  # fmt: skip
    place = verify.Place(
        data_dir=given.data_dir,
        out=given.out,
        device=given.device,
        threads=given.threads,
        given=tuple(given.checkpoints),
    )
    report = verify.rerun(received, drawn, place, screen)
    _show(received, report)
    print(f"\n{conclusion(report)}")
    if not all(one.is_same for one in report.compared):
        return DIFFERS
    return LACKING if report.missing else 0


def write(path: Path, about: About, found: Sequence[Results], checkpoints: Path) -> None:
    """Write experiments that were just run as a bundle; cards are read from ``checkpoints``."""
    ran = [Ran(number, "done", results) for number, results in enumerate(found, 1)]
    names = {name for results in found for _, name in results.spec.checkpoint_names()}
    cards = [json.loads((checkpoints / f"{name}.json").read_bytes()) for name in sorted(names)]
    rows = [CheckpointRow(name=c["name"], sha256=c["sha256"], card=c) for c in cards]
    made = bundle.of_results(about, ran, rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        bundle.write(made, file)


# --- words ------------------------------------------------------------------------------------


def _show(received: Received, report: "Report") -> None:
    print()
    for network in report.networks.values():
        how = "trained here" if network.was_trained else "given"
        bits = "the same bits" if network.is_same else "other bits than in the bundle"
        accuracy = f"{100 * network.clean_accuracy:.2f} % clean"
        print(f"checkpoint {network.name}: {how}, {bits}, {accuracy}")
    for line in _elsewhere(received, report):
        print(line)
    for one in report.compared:
        print()
        _show_trial(one)
    for missing in report.missing:
        print(f"\n{_plain(missing.title)}, trial {missing.trial}: not run: {_plain(missing.why)}")


def _elsewhere(received: Received, report: "Report") -> list[str]:
    """What differs between there and here, and can move a bit."""
    here = made_under(report.here)
    used = {(one.experiment, one.trial) for one in report.compared}
    found = {
        row.provenance
        for row in received.bundle.outcomes
        if (row.experiment, row.trial) in used and row.provenance
    }
    lines = []
    for name in ("hardware", "device", "torch", "numpy", "python", "commit"):
        there = {str(made_under(received.bundle.provenances[key]).get(name)) for key in found}
        if there - {str(here[name])}:
            said = " and ".join(sorted(_plain(one) for one in there))
            lines.append(f"{name}: {said} there, {here[name]} here")
    return lines


def _show_trial(one: "Compared") -> None:
    print(f"{_plain(one.title)}, trial {one.trial}")
    if not one.is_same_setup:
        print("  setup: other target or bases than in the bundle")
    for judged in one.judged:
        verdict = "match" if judged.is_same else f"DIFFER: {_both(judged.there)} there, "\
            f"{_both(judged.here)} here"  # fmt: skip
        print(f"  {_plain(judged.victim)}: verdicts {verdict}; "
              f"margins at most {judged.margin_difference:.2g} apart")  # fmt: skip
    print(f"  craft_hash {_same(one.is_same_craft)}; poison set {_same(one.is_same_set)}"
          + _pixels(one))  # fmt: skip


def _both(pair: tuple[bool, bool]) -> str:
    fooled, twin = ("fooled" if each else "not fooled" for each in pair)
    return f"{fooled} (twin {twin})"


def _same(is_same: bool) -> str:
    return "equal" if is_same else "differs"


def _pixels(one: "Compared") -> str:
    if one.pixels is None or one.is_same_set:
        return ""
    largest, share = one.pixels
    return f", by at most {largest}/255 in {100 * share:.2g} % of the values"


def conclusion(report: "Report") -> str:
    """What the re-runs say, in words."""
    said = [_verdicts(report)] if report.compared else []
    if report.missing:
        what = _count(len(report.missing), "drawn trial")
        said.append(f"{what} could not be run here, so nothing is said of them.")
    return " ".join(said)


def _verdicts(report: "Report") -> str:
    judged = [each for one in report.compared for each in one.judged]
    wrong = sum(not each.is_same for each in judged)
    trials, n = _count(len(report.compared), "trial"), len(judged)
    if not all(one.is_same_setup for one in report.compared):
        return "Setups drawn here are others than the bundle's: its trials were not reproduced."
    if wrong:
        return (
            f"Not reproduced: {wrong} of {_count(n, 'outcome')} of {trials} came out otherwise. "
            "A verdict whose margin is about as small as the differences may turn over by rounding "
            "alone; others may not."
        )
    apart = sum(not one.is_same_set for one in report.compared)
    if not apart:
        return f"Reproduced: all verdicts of {trials} match, and their poisons bit by bit."
    largest = max(each.margin_difference for each in judged)
    return (
        f"Reproduced: all verdicts of {trials} match. The poisons of {apart} differ in bits, as "
        "floating point does between processors, versions and batches; margins differ by at most "
        f"{largest:.2g}."
    )


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _plain(text: str) -> str:
    """Words of a bundle nobody vouches for, fit for a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
