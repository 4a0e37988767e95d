"""A folder of files that are dear to make and can be made again, shared by processes.

An entry has a kind and a key that says everything it follows from. It appears whole or not at all,
and may vanish at any time. Once all are larger than the limit, the kind that takes the most room
gives way, its least recently used first: bulk never drives out what is small and dear.
"""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

LIMIT_BYTES = 10 * 2**30
PART = ".part"  # being written
ABANDONED = 3600  # seconds without a write, after which nobody will finish it


class Cache:
    """``folder`` None: nothing is ever found, nothing is kept."""

    def __init__(self, folder: str | Path | None, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = Path(folder) if folder is not None else None
        self.limit_bytes = limit_bytes

    def find(self, kind: str, key: str) -> Path | None:
        """The file of an entry, which now counts as just used; None where there is none."""
        if self.folder is None:
            return None
        path = self.folder / kind / key
        try:
            os.utime(path)
        except OSError:
            return None
        return path

    def names(self, kind: str, start: str) -> list[str]:
        """The keys of all entries of a kind that start so."""
        if self.folder is None:
            return []
        found = (self.folder / kind).glob(f"{start}*")
        return sorted(path.name for path in found if path.suffix != PART)

    def put(self, kind: str, key: str, write: Callable[[Path], object]) -> None:
        """Keep what ``write`` writes to the path it is given."""
        if self.folder is None:
            return
        path = self.folder / kind / key
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{key}.{os.getpid()}{PART}")
        try:
            write(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        self._evict(path)

    def drop(self, kind: str, key: str) -> None:
        """Forget an entry that turned out to be unreadable."""
        if self.folder is not None:
            (self.folder / kind / key).unlink(missing_ok=True)

    def _evict(self, kept: Path) -> None:
        assert self.folder is not None
        found, size_of = [], Counter[str]()
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(OSError):  # another process may have evicted it
                about = path.stat()
                if path.suffix == PART and about.st_mtime < time.time() - ABANDONED:
                    path.unlink()  # its writer was killed
                    continue
                size_of[path.parent.name] += about.st_size
                if path != kept and path.suffix != PART:
                    found.append((about.st_mtime_ns, about.st_size, path))
        oldest_first = sorted(found)
        while oldest_first and size_of.total() > self.limit_bytes:
            kinds = {path.parent.name for _, _, path in oldest_first}
            largest = max(kinds, key=lambda kind: size_of[kind])
            entry = next(entry for entry in oldest_first if entry[2].parent.name == largest)
            oldest_first.remove(entry)
            entry[2].unlink(missing_ok=True)
            size_of[largest] -= entry[1]
