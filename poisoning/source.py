"""Which source this program is: its version, its commit, and whether that was changed since."""

import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from poisoning import __version__

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Source:
    """``commit`` is the whole hash; None where it is not known, as in an image without history."""

    version: str
    commit: str | None = None
    is_dirty: bool | None = None  # files git tracks were changed; None: not known

    @property
    def short(self) -> str:
        """The commit for people."""
        if self.commit is None:
            return "not known"
        return f"{self.commit[:12]}, changed" if self.is_dirty else self.commit[:12]


@cache
def source() -> Source:
    """Asked once per process. A checkout that merely contains the installed program is not it."""
    if not (ROOT / ".git").exists():
        return Source(__version__)
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        asked = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return Source(__version__)
    commit, _, mark = asked.stdout.strip().partition("-")
    return Source(__version__, commit, mark == "dirty")
