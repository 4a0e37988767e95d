"""``python -m poisoning certify``: one experiment in both precisions, and what that certifies."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from poisoning import catalog, certificates, results, spec_file
from poisoning.results import Results
from poisoning.spec import ExperimentSpec

Run = Callable[[ExperimentSpec, str, argparse.Namespace], Results]
NOT_GRANTED = 1


def add_command(add: Callable[..., argparse.ArgumentParser], run: Run, places: Any) -> None:
    """``run`` carries one experiment through: spec, title, arguments."""
    one = add(
        "certify", lambda given: _certify(given, run), "compare fast precision with exact, in pairs"
    )
    one.add_argument("spec", type=Path, help="an experiment as JSON or YAML, of 100 trials or more")
    one.add_argument("--to", type=Path, default=certificates.FOLDER, help="folder of certificates")
    places(one)


def _certify(given: argparse.Namespace, run: Run) -> int:
    raw = spec_file.read(given.spec)
    found = []
    for precision in ("exact", "fast"):
        spec = ExperimentSpec.model_validate(raw | {"precision": precision})
        found.append(run(spec, f"{catalog.attack(spec.attack.name).title}, {precision}", given))
    made = certificates.compare(*found)
    print(results.table(found))
    print(f"\n{made.words}\n{certificates.save(made, given.to)}")
    return 0 if made.is_granted else NOT_GRANTED
