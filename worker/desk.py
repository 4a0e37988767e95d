"""Where a running job's reports are written down: fenced, and patient while the database is away.

A write that fails because the database cannot be reached is tried again for as long as the lease
can still be ours, so that a restart of the database does not end a training.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from app.services import curves, jobs, results
from app.services.jobs import Lease, LeaseLost
from poisoning.events import CheckpointDone, Failed, Log, Progress, Started, TrialDone
from worker import folder as folders
from worker.curves import Courses
from worker.runtime import Runtime, now

T = TypeVar("T")
RETRY_S = 0.5

log = structlog.get_logger(__name__)


class Desk:
    """Writes down what one job says, under its lease. Every method may raise LeaseLost."""

    def __init__(self, runtime: Runtime, lease: Lease, folder: Path) -> None:
        self.runtime, self.lease, self.folder = runtime, lease, folder
        self._progress: Progress | None = None
        self._courses = Courses()
        self._lines: list[tuple[object, Log]] = []
        self._last_beat = self._next_beat = time.monotonic()

    @property
    def until_beat_s(self) -> float:
        return self._next_beat - time.monotonic()

    def beat(self) -> bool:
        """Say that the job is alive, and how far it is; True when it is to end."""
        lease_s, heartbeat_s = self.runtime.settings.lease_s, self.runtime.settings.heartbeat_s
        began, courses = time.monotonic(), self._courses.take()

        def write(session: Session) -> bool:
            wanted = jobs.heartbeat(session, self.lease, self._progress, now(), lease_s)
            curves.keep(session, self.lease.job_id, courses)
            return wanted

        wanted = self._write(write)
        self._last_beat, self._next_beat = began, time.monotonic() + heartbeat_s
        self._progress = None
        self._flush()
        return wanted

    def started(self, event: Started) -> None:
        self.runtime.device = str(event.provenance.get("device", self.runtime.device))
        self._write(lambda session: jobs.note_started(session, self.lease, event))

    def progress(self, event: Progress) -> None:
        self._progress = event  # written with the next heartbeat; only the last one matters
        self._courses.add(event, time.monotonic())

    def note(self, event: Log) -> None:
        self._lines.append((now(), event))

    def trial(self, event: TrialDone) -> None:
        source = folders.result_file(self.folder, event.poison_set)
        stored = self.runtime.store.put("poison_sets", source)
        if stored.sha256 != event.poison_set_hash:
            raise ValueError(f"{event.poison_set} is not what was reported")
        images = len(event.setup.base_indices)
        self._write(
            lambda session: results.record_trial(session, self.lease, event, stored, images, now())
        )

    def checkpoint(self, event: CheckpointDone) -> None:
        source = folders.result_file(self.folder, event.path)
        stored = self.runtime.store.put("checkpoints", source, card=event.card)
        if stored.sha256 != event.sha256:
            raise ValueError(f"{event.path} is not what was reported")
        self._write(
            lambda session: results.record_checkpoint(session, self.lease, event, stored, now())
        )

    def finish(self) -> str:
        self._flush()
        return self._write(lambda session: jobs.finish(session, self.lease, now()))

    def fail(self, failed: Failed) -> str:
        self.note(Log(level="error", message=failed.message))
        self._flush()
        return self._write(lambda session: jobs.fail(session, self.lease, failed, now()))

    def ended(self) -> str:
        """It was cancelled, or its experiment stopped; the state it is in now."""
        self._flush()
        return self._write(lambda session: jobs.confirm_ended(session, self.lease, now()))

    def release(self) -> str:
        self._flush()
        return self._write(lambda session: jobs.release(session, self.lease, now()))

    def _flush(self) -> None:
        lines, courses = self._lines, self._courses.take()
        if not lines and not courses:
            return
        self._lines = []

        def write(session: Session) -> None:
            jobs.log(session, self.lease, lines)  # type: ignore[arg-type]
            curves.keep(session, self.lease.job_id, courses)

        self._write(write)

    def _write(self, write: Callable[[Session], T]) -> T:
        while True:
            try:
                with self.runtime.database.write() as session:
                    return write(session)
            except (OperationalError, PoolTimeout, DBAPIError) as error:
                if isinstance(error, DBAPIError) and not _is_passing(error):
                    raise
                if time.monotonic() - self._last_beat > self.runtime.settings.lease_s:
                    raise LeaseLost("the database was away for longer than a lease") from error
                log.warning("database away; trying again", error=str(error.__cause__ or error))
                time.sleep(RETRY_S)


def _is_passing(error: DBAPIError) -> bool:
    """Whether the same write may succeed in a moment: locked, restarting, connection cut."""
    return isinstance(error, OperationalError) or error.connection_invalidated
