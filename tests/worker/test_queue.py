"""Wake-ups: JSON and nothing else, best effort, in a private folder."""

import json
import stat
import uuid
from base64 import b64encode
from pathlib import Path
from time import monotonic

import pytest

from app import queue
from app.settings import Settings
from tests.worker.bench import Bench, wait_until


def test_embedded_broker_is_a_private_folder(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", _env_file=None)
    assert queue.notify(settings)
    folders = [settings.broker_dir, *settings.broker_dir.iterdir()]
    assert all(stat.S_IMODE(folder.stat().st_mode) == 0o700 for folder in folders)
    (message,) = (settings.broker_dir / "messages").iterdir()
    assert stat.S_IMODE(message.stat().st_mode) == 0o600
    sent = json.loads(message.read_text())
    assert sent["content-type"] == "application/json"
    assert sent["headers"]["task"] == queue.TASK


def test_half_a_message_is_never_seen(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", _env_file=None)
    app = queue.make_celery(settings)
    draft = settings.broker_dir / "messages" / "tmpabc.draft"
    draft.write_text('{"body": "')
    with app.connection_for_read() as connection:
        assert connection.SimpleQueue(queue.QUEUE).qsize() == 0
    queue.discard_drafts(settings)
    assert not draft.exists()


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "no-such-broker://x"])
def test_a_broker_that_is_away_never_fails_a_submit(tmp_path: Path, url: str) -> None:
    settings = Settings(home=tmp_path, broker_url=url, _env_file=None)
    began = monotonic()
    assert queue.notify(settings) is False
    assert monotonic() - began < 3


def test_settings_that_keep_duplicates_and_pickles_away(tmp_path: Path) -> None:
    redis = Settings(home=tmp_path, broker_url="redis://:x@h/0", _env_file=None)
    for settings in (Settings(home=tmp_path, _env_file=None), redis):
        conf = queue.make_celery(settings).conf
        assert conf.accept_content == ["json"] and conf.task_serializer == "json"
        assert conf.result_backend is None and conf.task_ignore_result
        assert not conf.task_acks_late and not conf.worker_enable_remote_control
    assert queue.make_celery(redis).conf.worker_disable_prefetch


def test_pickled_message_is_not_read(bench: Bench) -> None:
    """A message that would create a file when unpickled creates none, and work goes on."""
    canary = bench.home / "canary"
    payload = b"cbuiltins\nopen\n(S'" + str(canary).encode() + b"'\nS'w'\ntR."
    message = {
        "body": b64encode(payload).decode(),
        "content-encoding": "binary",
        "content-type": "application/x-python-serialize",
        "headers": {"lang": "py", "task": queue.TASK, "id": str(uuid.uuid4())},
        "properties": {
            "body_encoding": "base64",
            "delivery_mode": 2,
            "delivery_tag": str(uuid.uuid4()),
            "delivery_info": {"exchange": "", "routing_key": queue.QUEUE},
        },
    }
    queue.make_celery(bench.settings)
    folder = bench.settings.broker_dir / "messages"
    (folder / f"evil.{queue.QUEUE}.msg").write_text(json.dumps(message))
    worker = bench.start_worker()
    wait_until(lambda: not list(folder.iterdir()))
    job_id = bench.add_experiment(trials=1)
    wait_until(lambda: bench.state(job_id) == "done")
    assert not canary.exists()
    wait_until(lambda: "Refusing to deserialize" in bench.log(), 5)
    assert worker.poll() is None
