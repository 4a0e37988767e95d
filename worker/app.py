"""The Celery application of a worker process: ``celery -A worker.app worker --pool threads -c 1``.

One thread runs jobs (each in a child process of its own), the main loop stays free for signals and
messages, and the poller looks after both. Killing the process kills the threads, and the children
notice by their stdin.
"""

import os
import signal
import sys
import threading
import warnings
from typing import Any

import structlog
from celery import signals

from app import logs, queue
from app.services import workers
from app.settings import load
from worker.folder import remove_finished
from worker.poller import Poller
from worker.runtime import Runtime, now
from worker.tasks import work

STOP_S = 10.0  # a job that runs without the broker may take so long to be handed back

# Celery warns every worker that runs as root of pickled messages; ours read JSON only.
warnings.filterwarnings("ignore", message="You're running the worker with superuser")

settings = load()
logs.configure(settings)
log = structlog.get_logger(__name__)
app = queue.make_celery(settings)
_runtime: Runtime | None = None


def runtime() -> Runtime:
    """This process's runtime, made when the worker starts (and not when the module is read)."""
    global _runtime
    if _runtime is None:
        _runtime = Runtime(settings)
    return _runtime


@app.task(name=queue.TASK)
def wake() -> None:
    """A wake-up: whatever there is to do stands in the database."""
    work(runtime())


@signals.worker_init.connect
def _start(**_: Any) -> None:
    """Before the broker is asked, so that a broker that is away holds nothing up."""
    try:
        queue.discard_drafts(settings)
        remove_finished(runtime())
    except Exception:  # Celery would swallow it and run a worker that sees nothing
        log.exception("worker cannot start")
        raise SystemExit(1) from None
    if os.environ.get("DOSIMETER_LIFELINE"):
        threading.Thread(target=_stop_with_parent, name="life line", daemon=True).start()
    Poller(runtime()).start()
    log.info("worker started", worker=runtime().owner)


@signals.worker_shutting_down.connect
def _stop(**_: Any) -> None:
    runtime().stopping.set()


@signals.worker_shutdown.connect
def _leave(**_: Any) -> None:
    """Everything handed back: take the worker's row away."""
    runtime().stopping.set()
    if runtime().busy.acquire(timeout=STOP_S):
        with runtime().database.write() as session:
            workers.bury(session, runtime().owner, now())
    runtime().database.close()


def _stop_with_parent() -> None:
    """The supervisor holds our stdin; when it dies, however it dies, we stop in order."""
    while os.read(sys.stdin.fileno(), 4096):  # not sys.stdin.read: at exit, its lock is fatal
        pass
    os.kill(os.getpid(), signal.SIGTERM)
