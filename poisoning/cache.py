"""A folder of files that are dear to make and can be made again, shared by processes.

An entry has a kind and a key that says everything it follows from. It appears whole or not at all,
may vanish at any time, and the least recently used go first once all are larger than the limit.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

LIMIT_BYTES = 10 * 2**30


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

    def put(self, kind: str, key: str, write: Callable[[Path], object]) -> None:
        """Keep what ``write`` writes to the path it is given."""
        if self.folder is None:
            return
        path = self.folder / kind / key
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{key}.{os.getpid()}.part")
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
        found = []
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(OSError):  # another process may have evicted it
                about = path.stat()
                found.append((about.st_mtime_ns, about.st_size, path))
        excess = sum(size for _, size, _ in found) - self.limit_bytes
        for _, size, path in sorted(found):
            if excess <= 0:
                break
            if path != kept and path.suffix != ".part":
                path.unlink(missing_ok=True)
                excess -= size
