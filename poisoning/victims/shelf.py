"""Features on disk, shared by trials, attacks, experiments and processes of a machine.

A shelf holds those of one checkpoint on one data set, with the same constants, precision, versions
and hardware: all that a feature's bits follow from. It is a set of files of the cache, each written
once and whole and never changed, so writers need no lock and one that is killed leaves nothing
half. A file's name carries the hash of its content; what does not match is dropped, and computed
anew.
"""

import contextlib
import hashlib
import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from poisoning.cache import Cache
from poisoning.spec import digest

KIND = "features"  # in the cache

Records = np.ndarray  # fields ``key`` int64 and ``feature`` float32 [D], one record for each


class Shelf:
    """What is kept under ``about``: features of ``dim`` numbers, each under a whole number."""

    def __init__(self, cache: Cache, about: dict[str, Any], dim: int) -> None:
        self.cache, self.name = cache, digest(about)
        self.dtype = np.dtype([("key", "<i8"), ("feature", "<f4", (dim,))])
        self._seen: set[str] = set()

    def news(self) -> Iterator[Records]:
        """What was put here since the last look, by this process or others; mapped, not read."""
        for name in self.cache.names(KIND, self.name):
            if name in self._seen:
                continue
            self._seen.add(name)
            found = self._open(name)
            if found is not None:
                yield found

    def put(self, keys: np.ndarray, features: np.ndarray) -> Records | None:
        """Keep features [N, D] under keys [N]; as ``news`` would give them, None where there was
        no room.
        """
        records = np.empty(len(keys), self.dtype)
        records["key"], records["feature"] = keys, features
        text = io.BytesIO()
        np.save(text, records)
        name = f"{self.name}.{hashlib.sha256(text.getbuffer()).hexdigest()}.npy"
        with contextlib.suppress(OSError):
            self.cache.put(KIND, name, lambda path: path.write_bytes(text.getbuffer()))
        self._seen.add(name)
        return self._open(name)

    def _open(self, name: str) -> Records | None:
        path = self.cache.find(KIND, name)
        if path is None:
            return None
        with contextlib.suppress(OSError, ValueError):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            if name.split(".")[1] == content:
                found: Records = np.load(path, mmap_mode="r")
                if found.dtype == self.dtype:
                    return found
        self.cache.drop(KIND, name)
        return None
