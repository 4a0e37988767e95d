"""A page that follows an experiment hears of every change, once."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient

from app import live
from app.db import Database
from app.live import signal
from app.services import jobs
from app.settings import Settings
from poisoning.events import Progress
from tests.app import workbench as bench


def events(text: str) -> list[dict[str, str]]:
    """Server-sent events as mappings of field to value."""
    blocks = [block for block in text.split("\n\n") if "event:" in block]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


def test_an_ended_experiment_is_told_once(
    client: TestClient, database: Database, settings: Settings
) -> None:
    number = bench.launch(database, settings)
    bench.work_off(database)
    answer = client.get(f"/live/experiments/{number}")
    assert answer.headers["content-type"].startswith("text/event-stream")
    first, last = events(answer.text)
    assert (first["event"], last["event"]) == ("changed", "ended")
    assert '"state": "done"' in first["data"]
    again = client.get(f"/live/experiments/{number}", headers={"Last-Event-ID": first["id"]})
    assert [event["event"] for event in events(again.text)] == ["ended"]


def test_what_can_be_seen_changes_the_signal(database: Database, settings: Settings) -> None:
    number = bench.launch(database, settings)

    def look() -> dict[str, object]:
        with database.read() as session:
            return signal(session, number)

    waiting = look()
    assert look() == waiting
    lease = bench.must_claim(database).lease
    with database.write() as session:
        progress = Progress(stage="pretrain", done=1, total=15, unit="epochs")
        jobs.heartbeat(session, lease, progress, bench.AT, bench.LEASE_S)
    assert look() != waiting


def test_a_reader_who_reconnects_misses_nothing_and_hears_nothing_twice(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "POLL_S", 0.01)
    number = bench.launch(database, settings)
    reader = Reader(database, number)
    first = reader.listen()
    assert [event["event"] for event in first] == ["changed"], "told at once how it is"
    assert reader.listen(first[-1]["id"]) == [], "nothing happened while it was away"
    bench.work_off(database, successes=1)  # while nobody listens
    missed = reader.listen(first[-1]["id"])
    assert [event["event"] for event in missed] == ["changed", "ended"]
    assert '"trials_done": 4' in missed[0]["data"]


def test_what_happens_while_connected_is_told_as_it_comes(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "POLL_S", 0.01)
    number = bench.launch(database, settings)
    told = Reader(database, number).listen(during=lambda: bench.work_off(database))
    assert [event["event"] for event in told] == ["changed", "changed", "ended"]
    assert told[0]["id"] != told[1]["id"] == told[2]["id"]


class Reader:
    """A browser that follows an experiment, for a few looks of the server at a time."""

    def __init__(self, database: Database, experiment_id: int) -> None:
        self.database, self.experiment_id = database, experiment_id

    def listen(
        self, last: str = "", during: Callable[[], object] | None = None
    ) -> list[dict[str, str]]:
        """Connect, with the id of the last event heard; ``during`` happens after the first."""
        return asyncio.run(self._listen(last, during))

    async def _listen(self, last: str, during: Callable[[], object] | None) -> list[dict[str, str]]:
        text, request = "", Asking()
        async for part in live._events(request, self.database, self.experiment_id, last):  # type: ignore[arg-type]
            text += part
            if during and "event:" in part:
                during, _ = None, during()
        return events(text)


class Asking:
    """As much of a request as the events look at: a reader who leaves after a few looks."""

    def __init__(self, looks: int = 5) -> None:
        self.app = SimpleNamespace(state=SimpleNamespace(stopping=False))
        self.looks = looks

    async def is_disconnected(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def test_an_unknown_experiment_is_404(client: TestClient) -> None:
    assert client.get("/live/experiments/7").status_code == 404
