"""A page that follows an experiment hears of every change, once."""

from fastapi.testclient import TestClient

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


def test_an_unknown_experiment_is_404(client: TestClient) -> None:
    assert client.get("/live/experiments/7").status_code == 404
