"""What the threads of one worker process share: who it is, where things are, whether it is busy."""

import os
import secrets
import socket
import threading
from datetime import UTC, datetime

from app.db import Database, open_database
from app.settings import Settings
from app.storage import Store


class Runtime:
    """One worker process. ``busy`` is held by whoever runs a job: one at a time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database: Database = open_database(settings)
        self.store = Store(settings.artifacts_dir)
        self.host = socket.gethostname()
        self.owner = owner_id(self.host, os.getpid(), boot_id())
        self.device = settings.device
        self.job_id: int | None = None
        self.busy = threading.Lock()
        self.stopping = threading.Event()


def boot_id() -> str:
    """Tells this process from an earlier one with the same number; a supervisor may choose it."""
    return os.environ.get("DOSIMETER_BOOT") or secrets.token_hex(4)


def owner_id(host: str, pid: int, boot: str) -> str:
    return f"{host[:80]}:{pid}:{boot}"


def now() -> datetime:
    return datetime.now(UTC)
