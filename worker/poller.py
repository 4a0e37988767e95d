"""The worker's own eyes: it reports itself, takes back silent jobs, goes on with adaptive sweeps,
finds work nobody told it of.

A message may be lost and a broker may be away; then this thread is what makes that cost seconds.
"""

import threading
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app import queue
from app.queries import sweeps as due_sweeps
from app.services import jobs, sweeps, workers
from app.services.reaper import Reaper
from worker.runtime import Runtime, now
from worker.tasks import work

SEEN_S = 5  # how often the worker's row is renewed
PATIENCE = 2  # looks a wake-up may take before the poller does the work itself

log = structlog.get_logger(__name__)


class Poller(threading.Thread):
    """Looks every ``poll_s``; never dies of a database that is away."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(name="poller", daemon=True)
        self.runtime = runtime
        self.reaper = Reaper(runtime.settings.lease_s)
        self._seen = self._swept = float("-inf")
        self._asked = 0  # wake-ups sent since the last time there was nothing to do

    def run(self) -> None:
        while not self.runtime.stopping.is_set():
            try:
                self.look()
            except (SQLAlchemyError, OSError) as error:
                log.warning("poll failed; will look again", error=str(error))
            self.runtime.stopping.wait(self.runtime.settings.poll_s)

    def look(self) -> None:
        """One round: report, reap, go on with sweeps, wake."""
        clock = time.monotonic()
        if clock - self._seen >= SEEN_S:
            self._report()
            self._seen = clock
        if clock - self._swept >= self.runtime.settings.lease_s / 10:
            self._reap(clock)
            self._swept = clock
        self._advance()
        self._wake()

    def _report(self) -> None:
        runtime = self.runtime
        with runtime.database.write() as session:
            workers.seen(
                session, runtime.owner, runtime.host, runtime.device, runtime.job_id, now()
            )

    def _reap(self, clock: float) -> None:
        with self.runtime.database.write() as session:
            taken = self.reaper.sweep(session, now(), clock)
        if taken:
            log.warning("jobs taken back from silent workers", jobs=taken)

    def _advance(self) -> None:
        with self.runtime.database.read() as session:
            due = due_sweeps.due(session)
        for sweep_id in due:
            with self.runtime.database.write() as session:
                made = sweeps.advance(session, self.runtime.settings, sweep_id, now())
            if made is not None:
                log.info("sweep goes on", sweep=sweep_id, experiment=made.id)

    def _wake(self) -> None:
        if self.runtime.busy.locked() or not self._is_work_waiting():
            self._asked = 0
        elif self._asked < PATIENCE and queue.notify(self.runtime.settings):
            self._asked += 1
        else:
            # No broker, or a consumer that no longer consumes: the job is done all the same.
            log.warning("wake-ups do not arrive; working without the broker")
            threading.Thread(target=work, args=(self.runtime,), daemon=True).start()
            self._asked = 0

    def _is_work_waiting(self) -> bool:
        with self.runtime.database.read() as session:
            return jobs.is_work_waiting(session)
