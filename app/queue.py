"""Wake-ups for the workers. What is to be done stands in SQL; a message only says "look now".

The server sends one task, by name and without arguments, so a lost, doubled or late message is
harmless: a worker that gets it asks the database what is claimable, and asks by itself now and
then. Nothing is ever read back from the broker, and nothing but JSON is accepted from it.
"""

import os
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog
from celery import Celery
from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.json import dumps

from app.settings import Settings, load

TASK = "dosimeter.work"
QUEUE = "dosimeter"
STALE_S = 60  # a wake-up nobody read for so long says nothing that a poll has not found

log = structlog.get_logger(__name__)


class FolderChannel(filesystem.Channel):
    """kombu's folder of messages, but a message appears whole or not at all.

    kombu writes under the final name, where a reader may find half a message and stop consuming.
    """

    def _put(self, queue: str, payload: dict[str, Any], **kwargs: Any) -> None:  # type: ignore[override]
        folder = self.data_folder_out
        try:
            handle, draft = tempfile.mkstemp(dir=folder, suffix=".draft")
            with open(handle, "w", encoding="utf-8") as file:
                file.write(dumps(payload))
            os.replace(draft, draft.removesuffix(".draft") + f".{queue}.msg")
        except OSError as error:
            raise ChannelError(f"cannot write a message into {folder}: {error}") from error


class FolderTransport(filesystem.Transport):
    """The embedded broker: a folder under the home, nothing to install."""

    Channel = FolderChannel

    def drain_events(  # type: ignore[override]
        self, connection: Any, timeout: float | None = None
    ) -> None:
        """Come back twice a second: a worker notices only in between that it shall stop."""
        super().drain_events(connection, timeout=min(timeout or 0.5, 0.5))


def make_celery(settings: Settings) -> Celery:
    """The Celery application of server and worker: the same broker, the same rules."""
    return _celery(settings.broker_url, settings.broker_dir)


@lru_cache(maxsize=4)
def _celery(broker_url: str | None, folder: Path) -> Celery:
    app = Celery("dosimeter", set_as_current=False)
    app.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        result_backend=None,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        # The lease in the database is the acknowledgement: an unacknowledged message of a long
        # job would only be delivered a second time.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=2,
    )
    app.conf.update(_redis(broker_url) if broker_url else _folder(folder))
    return app


def _redis(url: str) -> dict[str, Any]:
    """A Redis (or other) broker by URL; timeouts so that a dead one never holds up a submit."""
    return {
        "broker_url": url,
        "worker_disable_prefetch": True,
        "broker_transport_options": {
            "global_keyprefix": "dosimeter:",
            "visibility_timeout": 3600,
            "unacked_restore_interval": 10,
            "unacked_restore_throttle": 1,
            "socket_connect_timeout": 2,
            "socket_timeout": 10,
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 0.2,
        },
    }


def _folder(folder: Path) -> dict[str, Any]:
    """The embedded broker's folders; private, because who can write there can wake workers."""
    messages, control = folder / "messages", folder / "control"
    for path in (folder, messages, control):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
    return {
        "broker_url": "filesystem://localhost",
        "broker_transport": "app.queue:FolderTransport",
        "broker_transport_options": {
            "data_folder_in": str(messages),
            "data_folder_out": str(messages),
            "control_folder": str(control),
            "polling_interval": 0.25,
        },
    }


def notify(settings: Settings | None = None) -> bool:
    """Wake a worker, if the broker can be reached; say whether it was told.

    Never raises: the job is committed before, and every worker also looks by itself.
    """
    try:
        app = make_celery(settings or load())
        app.send_task(TASK, expires=STALE_S, retry=False)
    except Exception as error:  # whatever a broker's client may raise must not fail a submit
        log.warning("wake-up not sent; workers will find the job by themselves", error=str(error))
        return False
    return True


def discard_drafts(settings: Settings) -> None:
    """Remove half-written messages that a killed sender left behind."""
    for draft in (settings.broker_dir / "messages").glob("*.draft"):
        with suppress(FileNotFoundError):
            draft.unlink()
