"""Files by the hash of their content. Nothing a client says ever becomes part of a path."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["poison_sets", "checkpoints", "uploads"]
_SHA256 = re.compile(r"[0-9a-f]{64}")


class NotStored(LookupError):
    """There is no file of that hash."""


@dataclass(frozen=True)
class Stored:
    sha256: str
    size_bytes: int


class Store:
    """Immutable files below one folder: ``<kind>/<ab>/<sha256>.safetensors``. An
    ``.upload`` is as it came, whatever it is; only a job's process reads it.

    Everything else of the server sees only these four methods, so another place to keep files
    is another class with the same four.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, kind: Kind, source: Path, card: dict[str, Any] | None = None) -> Stored:
        """Copy a file in, whole or not at all; a card is kept as JSON beside it."""
        folder = self.root / kind
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".incoming-")
        try:
            with os.fdopen(handle, "wb") as target, open(source, "rb") as file:
                shutil.copyfileobj(file, target)
                target.flush()
                os.fsync(target.fileno())
            stored = Stored(hash_file(Path(temporary)), os.path.getsize(temporary))
            final = self._place(kind, stored.sha256)
            final.parent.mkdir(mode=0o700, exist_ok=True)
            if card is not None:
                _write_json(final.with_suffix(".json"), card)
            os.replace(temporary, final)
        finally:
            Path(temporary).unlink(missing_ok=True)
        return stored

    def path(self, kind: Kind, sha256: str) -> Path:
        """Where the file is; NotStored where there is none."""
        place = self._place(kind, sha256)
        if not place.is_file():
            raise NotStored(f"no file {sha256} among the {kind}")
        return place

    def has(self, kind: Kind, sha256: str) -> bool:
        return self._place(kind, sha256).is_file()

    def remove(self, kind: Kind, sha256: str) -> None:
        """Drop a file that nobody needs any more; harmless where there is none."""
        self._place(kind, sha256).unlink(missing_ok=True)

    def _place(self, kind: Kind, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise NotStored("not a sha256")
        suffix = ".upload" if kind == "uploads" else ".safetensors"
        return self.root / kind / sha256[:2] / f"{sha256}{suffix}"


def hash_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_json(path: Path, value: dict[str, Any]) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".incoming-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True)
    os.replace(temporary, path)
