"""One batch in one process of its own: started, listened to, ended. Nothing of SQL in here.

The process leads a session of its own, so that ending it means ending its whole group, whatever
it may have started. Its stdin is a life line: when this worker dies, the pipe closes and the
process ends itself. It is given no credentials, because its environment is an allow-list.
"""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from poisoning.events import (
    EVENT,
    CheckpointDone,
    Done,
    Failed,
    Log,
    Progress,
    Started,
    TrialDone,
)

COMMAND = (sys.executable, "-P", "-m", "poisoning", "work")
LINE_BYTES = 16 * 2**20  # longer is no event of ours
QUEUED_EVENTS = 10_000  # beyond this the child waits for us, as a pipe does
STDERR_LINES = 40
PASSED = {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER", "LD_LIBRARY_PATH", "VIRTUAL_ENV"}
PASSED_PREFIXES = (
    "LC_", "CUDA_", "NVIDIA_", "CUBLAS_", "NCCL_", "HIP_", "ROCR_", "OMP_", "MKL_", "KMP_",
    "PYTORCH_", "TORCH_",
)  # fmt: skip


@dataclass(frozen=True)
class Garbled:
    """A line on stdout that is no event: the protocol is broken and the batch cannot be trusted."""

    line: str


@dataclass(frozen=True)
class Ended:
    """The process is gone, and everything it had said has been handed out before this."""

    returncode: int  # negative: the signal that ended it
    stderr: str  # its last lines


Event = Started | Progress | Log | TrialDone | CheckpointDone | Failed | Done
Said = Event | Garbled | Ended


class Child:
    """A running batch process. ``next`` hands out what it said; ``stop`` ends it for certain."""

    def __init__(
        self,
        job_file: Path,
        *,
        threads: int | None = None,
        command: tuple[str, ...] = COMMAND,
    ) -> None:
        self._said: queue.Queue[Said] = queue.Queue(QUEUED_EVENTS)
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._process = subprocess.Popen(
            [*command, str(job_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=job_file.parent,
            env=environment(os.environ, threads),
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._gone, self._is_stopping = threading.Event(), threading.Event()
        assert self._process.stdout and self._process.stderr
        readers = [
            _start(self._read_events, self._process.stdout),
            _start(self._read_stderr, self._process.stderr),
        ]
        _start(self._reap, readers)

    def next(self, timeout_s: float) -> Said | None:
        """The next thing it said, or None after ``timeout_s`` of silence."""
        try:
            return self._said.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None

    def stop(self, grace_s: float = 2.0) -> None:
        """SIGTERM to the group, SIGKILL after ``grace_s``; returns when the process is gone."""
        self._is_stopping.set()
        self._signal(signal.SIGTERM)
        if not self._gone.wait(grace_s):
            self._signal(signal.SIGKILL)
            self._gone.wait()

    def _say(self, said: Said) -> None:
        while not self._is_stopping.is_set():  # then nobody listens any more
            with suppress(queue.Full):
                self._said.put(said, timeout=0.2)
                return

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):  # nobody is there any more
            os.killpg(self.pid, number)

    def _read_events(self, stdout: IO[bytes]) -> None:
        with stdout:
            while line := stdout.readline(LINE_BYTES):
                try:
                    self._say(EVENT.validate_json(line))
                except ValidationError:
                    self._say(Garbled(line[:500].decode(errors="replace").rstrip()))

    def _read_stderr(self, stderr: IO[bytes]) -> None:
        with stderr:
            while line := stderr.readline(2000):
                self._stderr.append(line.decode(errors="replace").rstrip())

    def _reap(self, readers: list[threading.Thread]) -> None:
        returncode = self._process.wait()
        self._signal(signal.SIGKILL)  # what it may have left behind in its group
        self._gone.set()
        if self._process.stdin:
            self._process.stdin.close()
        for reader in readers:
            reader.join(timeout=2)
        self._say(Ended(returncode, "\n".join(self._stderr)))


def _start(target: object, argument: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=(argument,), daemon=True)  # type: ignore[arg-type]
    thread.start()
    return thread


def environment(given: Mapping[str, str], threads: int | None) -> dict[str, str]:
    """What the batch process may know of ours: where things are, never a URL, token or secret."""
    passed = {
        name: value
        for name, value in given.items()
        if name in PASSED or name.startswith(PASSED_PREFIXES)
    }
    passed["PYTHONUNBUFFERED"] = "1"
    if threads:
        passed["OMP_NUM_THREADS"] = str(threads)
    return passed
