"""The processes of one machine: ``serve`` (server, and its workers when embedded) and ``worker``.

The server runs in this process, each Celery worker in one of its own, started by command line,
because the server must not import what the worker needs. A worker holds the other end of a pipe:
when this process dies, however it dies, the worker stops by itself.
"""

import errno
import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog
import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from app import auth, db, queue
from app.columns import now
from app.main import create_app
from app.queries import experiments
from app.services import studies, workers
from app.settings import Settings

WORKER_APP = "worker.app"
STOP_S = 8.0  # a worker that was told to stop may take so long to hand its job back
FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 30.0
GOOD_LIFE_S = 60.0  # a worker that lived so long did not die of how it was started

log = structlog.get_logger(__name__)
Announce = Callable[[str], None]


class CannotStart(RuntimeError):
    """Something is in the way; the message says what, and what to do about it."""


def serve(settings: Settings, announce: Announce = print) -> int:
    """Serve until a signal says stop; the exit status. Raises CannotStart."""
    with _only_one(settings), _listening(settings) as listener:
        _prepare(settings)
        server, keepers = _Server(settings, announce), _keepers(settings)

        def stop() -> None:  # all at once: none waits for another
            server.stop()
            for keeper in keepers:
                keeper.ask_to_stop()

        with _signals(stop):
            if settings.is_embedded:
                for keeper in keepers:
                    keeper.start()
            try:
                server.run(sockets=[listener])
            finally:
                for keeper in keepers:
                    keeper.ask_to_stop()
                for keeper in keepers:
                    keeper.stop()
    return 0 if server.started else 1


def worker(settings: Settings) -> int:
    """Run this machine's workers until a signal says stop; one that dies is started again."""
    with _database(settings) as database:
        try:
            db.check_version(database)
        except db.WrongSchema as error:
            raise CannotStart(str(error)) from None
    keepers = _keepers(settings)

    def stop() -> None:
        for keeper in keepers:
            keeper.ask_to_stop()

    with _signals(stop):
        for keeper in keepers:
            keeper.start()
        for keeper in keepers:
            keeper.join()
    return 0


def demo(settings: Settings, home: Path | None = None) -> int:
    """Run the demonstration study on a home of its own; 0 where it holds what it promises."""
    from app import demo  # drives ``serve`` as a process, so it needs this module

    return demo.run(settings, home)


# --- before the start -------------------------------------------------------------------------


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """The lock of an embedded home: its database and broker belong to one supervisor."""
    if not settings.is_embedded:
        yield
        return
    with open(settings.root / "serve.lock", "a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise CannotStart(
                f"process {file.read().strip() or '?'} already serves {settings.root}; stop it, "
                "or choose another folder with DOSIMETER_HOME"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """The server's socket, bound before anything else is touched."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            where = f"{settings.host}:{settings.port}"
            if error.errno == errno.EADDRINUSE:
                raise CannotStart(
                    f"{where} is in use; stop what listens there, or choose another port with "
                    "DOSIMETER_PORT"
                ) from None
            raise CannotStart(f"cannot listen on {where}: {error.strerror}") from None
        listener.listen(2048)
        yield listener


def _prepare(settings: Settings) -> None:
    """The schema, and on an embedded home what an earlier run may have left unfinished."""
    if settings.is_embedded:
        db.migrate(settings)
    with _database(settings) as database:
        try:
            db.check_version(database)
            auth.require_tokens(settings, database)
        except (db.WrongSchema, auth.NoTokens) as error:
            raise CannotStart(str(error)) from None
        if not settings.is_embedded:
            return
        queue.discard_drafts(settings)
        with database.write() as session:
            workers.bury_dead(session, socket.gethostname(), now())
            if settings.demonstration and not experiments.page(session, limit=1).items:
                studies.launch(session, settings, "demonstration", "quick", now())
    queue.notify(settings)


@contextmanager
def _database(settings: Settings) -> Iterator[db.Database]:
    database = db.open_database(settings)
    try:
        yield database
    finally:
        database.close()


# --- while it runs ----------------------------------------------------------------------------


class _Server(uvicorn.Server):
    """uvicorn, stopped by our signal handlers, so that a wanted stop is an exit with status 0."""

    def __init__(self, settings: Settings, announce: Announce) -> None:
        self._app = create_app(settings)
        super().__init__(
            uvicorn.Config(
                self._app,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=5,
            )
        )
        self._announce = announce

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            host, port = listener.getsockname()[:2]
            host = f"[{host}]" if ":" in host else host
            self._announce(f"Dosimeter is at http://{host}:{port}  (Ctrl-C stops it)")

    def stop(self) -> None:
        """Finish what is in flight and end open streams; at the second call, drop them."""
        self._app.state.stopping = True
        self.force_exit = self.should_exit
        self.should_exit = True


def _keepers(settings: Settings) -> list["Keeper"]:
    return [Keeper(settings.of_worker(number)) for number in range(settings.workers)]


class Keeper(threading.Thread):
    """Keeps one worker process alive; a dead one's jobs are queued again at once."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="keeper", daemon=True)
        self.settings = settings
        self._stopping = threading.Event()

    def run(self) -> None:
        delay = FIRST_DELAY_S
        while not self._stopping.is_set():
            began, boot = time.monotonic(), secrets.token_hex(4)
            process = start_worker(self.settings, boot)
            self._attend(process)
            self._bury(f"{socket.gethostname()[:80]}:{process.pid}:{boot}")
            if self._stopping.is_set():
                return
            delay = FIRST_DELAY_S if time.monotonic() - began > GOOD_LIFE_S else delay
            log.warning("worker died; starting another", status=process.returncode, in_s=delay)
            self._stopping.wait(delay)
            delay = min(2 * delay, LONGEST_DELAY_S)

    def ask_to_stop(self) -> None:
        self._stopping.set()

    def stop(self) -> None:
        """Stop the worker in order, or for certain; returns when it is gone."""
        self.ask_to_stop()
        if self.ident is not None:
            self.join()

    def _attend(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the worker is gone, by itself or because it was told to."""
        while not self._stopping.is_set():
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.2)
                return
        process.terminate()
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _bury(self, worker_id: str) -> None:
        try:
            with _database(self.settings) as database, database.write() as session:
                workers.bury(session, worker_id, now())
        except SQLAlchemyError as error:  # then the lease runs out, which does the same
            log.warning("could not take back a dead worker's jobs", error=str(error))


def start_worker(settings: Settings, boot: str) -> subprocess.Popen[bytes]:
    """A Celery worker in a session of its own, which lives no longer than its stdin is open."""
    scratch = settings.folder("tmp")
    environment = os.environ | exported(settings)
    environment |= {"DOSIMETER_BOOT": boot, "DOSIMETER_LIFELINE": "1", "TMPDIR": str(scratch)}
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "celery", "-A", WORKER_APP, "--quiet", "worker"),
            *("--pool", "threads", "--concurrency", "1"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            *("--loglevel", "WARNING", "--hostname", f"{boot}@%h"),
        ],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=sys.stderr.fileno(),  # stdout is for the address
        start_new_session=True,
    )


def exported(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, so that a second process sees the same ones."""
    values = settings.model_dump(mode="json") | {"home": str(settings.root)}
    texts = {n: v if isinstance(v, str) else json.dumps(v) for n, v in values.items()}
    return {f"DOSIMETER_{n.upper()}": "" if values[n] is None else t for n, t in texts.items()}


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM mean ``stop`` while the block runs."""

    def handle(number: int, frame: object) -> None:
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
