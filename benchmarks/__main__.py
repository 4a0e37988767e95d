"""``python -m benchmarks``: measure, print, store. Status 1 where two sides differ."""

import argparse
import json
import os
import sys
from pathlib import Path

# As in ``python -m poisoning``: read once, when torch is loaded; so before any import of it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from benchmarks import suite
from benchmarks.stage import SIZES
from poisoning.cli import DATA_DIR


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="normal")
    parser.add_argument("--only", nargs="*", choices=[*suite.GROUPS, "growth"], default=[])
    parser.add_argument("--data-dir", type=Path, default=DATA_DIR)
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    given = parser.parse_args()
    found = suite.run(given.size, given.data_dir, tuple(given.only), say=_say)
    out = given.out or Path("build") / f"benchmarks-{found['date'].replace(':', '')}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    _say(f"\n{found['seconds']:.0f} s; load {found['machine']['load_before'][0]:.1f} before, "
         f"{found['machine']['load_after'][0]:.1f} after; written to {out}")  # fmt: skip
    return 0 if all(row["holds"] for row in found["rows"]) else 1


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
