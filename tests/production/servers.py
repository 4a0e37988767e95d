"""Private PostgreSQL and Redis servers on free ports, and the product's own processes on them."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

PASSWORD = secrets.token_hex(16)
POSTGRES_FOLDERS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql*/bin",
)


def program(name: str) -> str:
    """Where a server's program is; the test says in one line what is missing."""
    if found := shutil.which(name):
        return found
    for pattern in POSTGRES_FOLDERS:
        for folder in sorted(Path("/").glob(pattern), reverse=True):
            if (folder / name).exists():
                return str(folder / name)
    pytest.skip(f"{name} is not installed here; the production form is not tried")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def unprivileged() -> dict[str, Any]:
    """PostgreSQL refuses to run as root: who to run it as then."""
    if os.getuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    who = known.get("postgres") or known["nobody"]
    return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}


class Server:
    """A process that listens on a port; ``stop`` ends it for certain."""

    def __init__(self, command: list[str], port: int, stdin: str = "", **options: Any) -> None:
        self.command, self.port, self.stdin, self.options = command, port, stdin, options
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **self.options,
        )
        assert self.process.stdin
        with self.process.stdin as stdin:
            stdin.write(self.stdin.encode())
        until = time.monotonic() + 20
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < until, self.command
            time.sleep(0.05)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def start_postgres() -> tuple[Server, Path, str]:
    """An empty cluster; its server, its folder and the URL of its database."""
    who, port = unprivileged(), free_port()
    initdb, postgres = program("initdb"), program("postgres")
    folder = Path(tempfile.mkdtemp(prefix="dosimeter-postgres-"))
    if who:
        os.chown(folder, who["user"], who["group"])
    password_file = folder / "password"
    password_file.write_text(PASSWORD)
    if who:
        os.chown(password_file, who["user"], who["group"])
    cluster = folder / "cluster"
    subprocess.run(
        [
            *(
                initdb,
                "--pgdata",
                str(cluster),
                "--username",
                "dosimeter",
                "--auth",
                "scram-sha-256",
            ),
            *("--pwfile", str(password_file), "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        ],
        check=True,
        capture_output=True,
        cwd=folder,
        **who,
    )
    command = [
        *(postgres, "-D", str(cluster), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)),
    ]
    server = Server(command, port, cwd=folder, **who)
    url = f"postgresql+psycopg://dosimeter:{PASSWORD}@127.0.0.1:{port}/postgres"
    _wait_for_login(url)
    return server, folder, url


def _wait_for_login(url: str) -> None:
    import psycopg

    until = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(url.replace("+psycopg", ""), connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            assert time.monotonic() < until
            time.sleep(0.1)


def start_redis(folder: Path) -> tuple[Server, str]:
    """A Redis as docker-compose.yml configures it: a password, an append-only file, no eviction."""
    port = free_port()
    command = [
        *(program("redis-server"), "-", "--appendonly", "yes", "--maxmemory-policy", "noeviction"),
        *("--dir", str(folder), "--port", str(port), "--bind", "127.0.0.1"),
    ]
    server = Server(command, port, stdin=f"requirepass {PASSWORD}\n")
    return server, f"redis://:{PASSWORD}@127.0.0.1:{port}/0"


class Dosimeter:
    """The product's own processes on two URLs, as docker-compose.yml starts them."""

    def __init__(self, home: Path, database_url: str, broker_url: str) -> None:
        self.home, self.port = home, free_port()
        self.environment = os.environ | {
            "DOSIMETER_HOME": str(home),
            "DOSIMETER_DATABASE_URL": database_url,
            "DOSIMETER_BROKER_URL": broker_url,
            "DOSIMETER_PORT": str(self.port),
            "DOSIMETER_THREADS": "1",
        }
        self.log = home / "log"
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, command: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", command],
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def stop(self) -> list[int]:
        """Ask all of them to stop, as `docker compose stop` does; their exit statuses."""
        for process in self.processes:
            process.terminate()
        statuses = []
        for process in self.processes:
            try:
                statuses.append(process.wait(timeout=20))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                statuses.append(process.wait())
        return statuses
