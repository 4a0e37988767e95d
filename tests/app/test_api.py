"""The REST API: what works, and every kind of bad input with its field and remedy."""

import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, func, select

from app.db import Database
from app.models import Experiment
from app.settings import Settings
from app.storage import Store
from poisoning.poison_set import PoisonSet
from tests.app import workbench as bench

API = "/api/v1"


def launch(client: TestClient, **changes: Any) -> dict[str, Any]:
    body = {"spec": bench.raw_spec(**changes), "title": "mine", "notes": "n"}
    response = client.post(f"{API}/experiments", json=body)
    assert response.status_code == 202, response.text
    launched: dict[str, Any] = response.json()
    assert response.headers["location"] == launched["url"]
    return launched


def test_an_experiment_from_launch_to_leaderboard(client: TestClient, database: Database) -> None:
    launched = launch(client)
    bench.work_off(database, successes=3, twins=1)
    found = client.get(launched["url"]).json()
    assert found["state"] == "done"
    assert found["answer"].startswith("Bullseye Polytope fools 3 of 4 white-box victims")
    assert [stage["state"] for stage in found["stages"]] == ["done"] * 3
    page = client.get(f"{launched['url']}/trials", params={"limit": 3}).json()
    assert [trial["number"] for trial in page["items"]] == [0, 1, 2]
    rest = client.get(f"{launched['url']}/trials", params={"limit": 3, "cursor": page["next"]})
    assert [trial["number"] for trial in rest.json()["items"]] == [3]
    assert rest.json()["next"] is None
    outcomes = client.get(f"{launched['url']}/trials/0/outcomes").json()
    assert [outcome["twin_success"] for outcome in outcomes] == [True, True]
    [board] = client.get(f"{API}/leaderboards").json()
    assert client.get(f"{API}/leaderboards/{board['key']}").json() == board | {"pairs": []}
    [title] = client.get(f"{API}/leaderboards/titles", params={"profile": board["profile"]}).json()
    assert (title["key"], title["outcomes"]) == (board["key"], 8)
    assert client.get(f"{API}/leaderboards/titles", params={"dataset": "cifar10"}).json() == []


def test_lists_are_narrowed_and_read_page_by_page(client: TestClient) -> None:
    for seed in range(5):
        launch(client, seed=seed)
    seen, cursor = [], None
    while True:
        params = {"limit": 2, "text": "MINE", "cursor": cursor}
        page = client.get(
            f"{API}/experiments", params={k: v for k, v in params.items() if v}
        ).json()
        seen += [row["id"] for row in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == [5, 4, 3, 2, 1]
    assert client.get(f"{API}/experiments?state=done").json()["items"] == []
    assert len(client.get(f"{API}/experiments?attack=bullseye_polytope").json()["items"]) == 5


def test_cancel_retry_and_clone(client: TestClient, database: Database) -> None:
    url = launch(client)["url"]
    assert client.post(f"{url}/cancel").json()["state"] == "cancelled"
    assert client.post(f"{url}/cancel").json()["state"] == "cancelled"
    retried = client.post(f"{url}/retry")
    assert (retried.status_code, retried.json()["state"]) == (202, "waiting")
    bench.work_off(database)
    assert client.post(f"{url}/cancel").status_code == 409
    assert client.post(f"{url}/retry").status_code == 409
    key = {"Idempotency-Key": "k"}
    copies = [client.post(f"{url}/clone", headers=key).json() for _ in range(2)]
    assert copies[0] == copies[1]
    assert client.get(copies[0]["url"]).json()["cloned_from"] == 1


def test_a_checkpoint_by_recipe_and_by_spec(client: TestClient, database: Database) -> None:
    body = {"name": bench.WHITE}
    assert client.post(f"{API}/checkpoints", json=body).status_code == 202
    assert client.post(f"{API}/checkpoints", json=body).status_code == 202
    mine = {"name": "mine", "spec": {"model": "convnet3", "dataset": "digits_0_4", "epochs": 2}}
    made = client.post(f"{API}/checkpoints", json=mine, headers={"Idempotency-Key": "1"})
    assert made.status_code == 202
    bench.work_off(database)
    found = client.get(f"{API}/checkpoints/mine").json()
    assert (found["state"], found["clean_images"]) == ("ready", 450)
    names = [row["name"] for row in client.get(f"{API}/checkpoints").json()["items"]]
    assert names == [bench.WHITE, "mine"]
    assert client.post(f"{API}/checkpoints/mine/cancel").status_code == 409


def test_jobs_workers_queue_and_logs(client: TestClient, database: Database) -> None:
    url = launch(client)["url"]
    jobs = client.get(f"{API}/jobs").json()["items"]
    assert sorted(job["kind"] for job in jobs) == ["pretrain", "pretrain", "trials"]
    assert client.get(f"{API}/jobs/1").json()["state"] == "queued"
    assert client.get(f"{API}/jobs/1/log").json() == []
    assert client.get(f"{url}/log").json() == []
    assert client.get(f"{API}/queue").json()["queued"] == 3
    assert client.get(f"{API}/workers").json() == []
    assert "dosimeter_jobs_queued 3.0" in client.get("/metrics").text


def test_the_catalogue_has_the_schema_of_every_knob(client: TestClient) -> None:
    attacks = {row["name"]: row for row in client.get(f"{API}/catalogue/attacks").json()}
    eps = attacks["bullseye_polytope"]["knobs"]["properties"]["eps_255"]
    assert (eps["default"], eps["exclusiveMinimum"]) == (8, 0)
    for noun in ("datasets", "models", "victims", "recipes", "studies"):
        assert client.get(f"{API}/catalogue/{noun}").status_code == 200


def test_an_estimate_launches_nothing(client: TestClient, database: Database) -> None:
    found = client.post(f"{API}/estimates", json={"spec": bench.raw_spec()}).json()
    assert found["seconds"] > 0
    assert found["basis"] == "cost model, uncalibrated"
    assert count(database) == 0


@pytest.fixture
def poison_set(tmp_path: Path, application: Any) -> str:
    """A stored set of two 8 px poisons that differ from their bases by 16 steps."""
    bases = np.full((2, 3, 8, 8), 100, np.uint8)
    made = PoisonSet(
        poisons=bases + np.uint8(16),
        labels=np.zeros(2, np.int64),
        base_indices=np.arange(2),
        target=np.zeros((1, 3, 8, 8), np.uint8),
        target_label=1,
        target_index=7,
        base_class=0,
        bases=bases,
    )
    store: Store = application.state.store
    return bench.store_file(store, tmp_path, made.to_bytes()).sha256


def test_a_poison_set_and_its_images(client: TestClient, poison_set: str) -> None:
    file = client.get(f"{API}/poison-sets/{poison_set}/file")
    assert file.status_code == 200
    assert "attachment" in file.headers["content-disposition"]
    for kind in ("base", "poison", "difference", "target"):
        image = client.get(f"{API}/poison-sets/{poison_set}/images/{kind}/0.png")
        assert image.content.startswith(b"\x89PNG"), kind
        assert "immutable" in image.headers["cache-control"]
        assert image.headers["x-content-type-options"] == "nosniff"
    assert client.get(f"{API}/poison-sets/{poison_set}/images/base/2.png").status_code == 404
    assert client.get(f"{API}/poison-sets/{'0' * 64}/file").status_code == 404
    assert client.get(f"{API}/poison-sets/..%2f..%2fetc/file").status_code in (404, 422)


# --- repeated and parallel ----------------------------------------------------------------------


def count(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(Experiment)) or 0


def test_a_form_sent_twenty_times_at_once_launches_once(
    client: TestClient, database: Database
) -> None:
    body = {"spec": bench.raw_spec()}

    def send(_: int) -> tuple[int, str]:
        response = client.post(f"{API}/experiments", json=body, headers={"Idempotency-Key": "same"})
        return response.status_code, response.text

    with ThreadPoolExecutor(20) as pool:
        answers = set(pool.map(send, range(20)))
    assert len(answers) == 1
    assert next(iter(answers))[0] == 202
    assert count(database) == 1
    other = client.post(
        f"{API}/experiments",
        json={"spec": bench.raw_spec(seed=9)},
        headers={"Idempotency-Key": "same"},
    )
    assert other.status_code == 422
    assert other.json()["errors"][0]["field"] == "Idempotency-Key"


# --- bad input ----------------------------------------------------------------------------------

DIGITS = bench.raw_spec()["data"]
BAD: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "unknown attack",
        {"attack": {"name": "bulseye_polytope"}},
        "spec.attack.name",
        "did you mean bullseye_polytope",
    ),
    (
        "unknown knob",
        {"attack": {"name": "bullseye_polytope", "eps": 8}},
        "spec.attack.eps",
        "eps_255",
    ),
    ("no attack name", {"attack": {"eps_255": 8}}, "spec.attack.name", "is missing"),
    (
        "negative eps",
        {"attack": {"name": "bullseye_polytope", "eps_255": -3}},
        "spec.attack.eps_255",
        "must be above 0",
    ),
    (
        "base is target",
        {"data": DIGITS | {"base_class": "5", "target_class": "5"}},
        "spec.data.base_class",
        "another class",
    ),
    ("no trials", {"trials": 0}, "spec.trials", "must be at least 1"),
    ("no victims", {"victims": []}, "spec.victims", "at least 1"),
    ("unknown field", {"trails": 3}, "spec.trails", "did you mean trials"),
    (
        "unknown victim knob",
        {"victims": [{"regime": "frozen", "checkpoint": bench.WHITE, "epochs": 3}]},
        "spec.victims.0.epochs",
        "known:",
    ),
    (
        "unknown data set",
        {"data": DIGITS | {"dataset": "cifar11"}},
        "spec.data.dataset",
        "did you mean",
    ),
    (
        "files missing",
        {"data": {"dataset": "cifar10", "train_size": 2500, "poisons": 25}},
        "spec.data.dataset",
        "DOSIMETER_DATA_DIR",
    ),
    (
        "too many poisons",
        {"data": DIGITS | {"poisons": 5000}},
        "spec.data.poisons",
        "lower it",
    ),
    ("no surrogate", {"surrogates": []}, "spec.surrogates", "name at least one"),
    (
        "unknown checkpoint",
        {"surrogates": ["convnet3-digits_0_4-s5"]},
        "spec.surrogates.0",
        "did you mean convnet3",
    ),
    ("not a number", {"trials": "many"}, "spec.trials", "integer"),
    (
        "infinite eps",
        {"attack": {"name": "bullseye_polytope", "eps_255": math.inf}},
        "spec.attack.eps_255",
        "finite",
    ),
]


@pytest.mark.parametrize(
    ("changes", "field", "words"), [b[1:] for b in BAD], ids=[b[0] for b in BAD]
)
def test_bad_input_names_field_and_remedy(
    client: TestClient, database: Database, changes: dict[str, Any], field: str, words: str
) -> None:
    response = client.post(
        f"{API}/experiments",
        content=json.dumps({"spec": bench.raw_spec(**changes)}),
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert {"type", "title", "status", "detail", "errors"} == set(problem)
    found = {
        error["field"]: f"{error['message']}; {error['remedy']}" for error in problem["errors"]
    }
    assert words in found[field]
    assert count(database) == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'"spec"'])
def test_what_is_no_json_object_is_refused(client: TestClient, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    response = client.post(f"{API}/experiments", content=content, headers=headers)
    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/problem+json"


def test_a_batch_too_large_for_memory(
    client: TestClient, application: Any, database: Database
) -> None:
    application.state.settings.memory_mib = 510
    response = client.post(f"{API}/experiments", json={"spec": bench.raw_spec()})
    assert response.status_code == 422
    [error] = response.json()["errors"]
    assert error["field"] in ("spec.data.poisons", "spec.data.train_size")
    assert "510 MiB are available" in error["message"]
    assert "DOSIMETER_MEMORY_MIB" in error["remedy"]
    assert count(database) == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{API}/experiments?stat=done", 422),
        ("GET", f"{API}/experiments?state=finished", 422),
        ("GET", f"{API}/experiments?limit=201", 422),
        ("GET", f"{API}/experiments?cursor=abc", 422),
        ("GET", f"{API}/experiments/1?verbose=1", 422),
        ("GET", f"{API}/experiments/1", 404),
        ("GET", f"{API}/experiments/99999999999999999999", 422),
        ("GET", f"{API}/experiments/one", 422),
        ("GET", f"{API}/experiments/1/trials/0", 404),
        ("GET", f"{API}/checkpoints/nobody", 404),
        ("GET", f"{API}/leaderboards/{'0' * 16}", 404),
        ("GET", f"{API}/nothing", 404),
        ("DELETE", f"{API}/experiments", 405),
        ("PUT", f"{API}/experiments/1", 405),
        ("POST", f"{API}/experiments/1/cancel", 404),
        ("POST", f"{API}/studies", 422),
    ],
)
def test_every_error_is_a_problem(client: TestClient, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status


def test_a_cursor_of_another_list_is_refused(client: TestClient) -> None:
    for seed in range(3):
        launch(client, seed=seed)
    cursor = client.get(f"{API}/experiments?limit=1").json()["next"]
    assert client.get(f"{API}/experiments?limit=1&cursor={cursor}").status_code == 200
    assert client.get(f"{API}/experiments?state=waiting&cursor={cursor}").status_code == 422
    assert client.get(f"{API}/jobs?cursor={cursor}").status_code == 422


def test_a_body_above_the_cap_is_refused(client: TestClient, application: Any) -> None:
    size = application.state.settings.max_body_mib * 2**20 + 1
    declared = client.post(
        f"{API}/experiments", content=b"{}", headers={"Content-Length": str(size)}
    )
    assert declared.status_code == 413

    def stream() -> Iterator[bytes]:
        for _ in range(size // 2**20 + 1):
            yield b" " * 2**20

    headers = {"Content-Type": "application/json"}
    assert client.post(f"{API}/experiments", content=stream(), headers=headers).status_code == 413


def test_a_busy_database_is_503_and_a_full_disk_507(client: TestClient, application: Any) -> None:
    engine = application.state.database.write_engine
    words = ["database is locked", "database or disk is full"]

    @event.listens_for(engine, "begin", insert=True)
    def refuse(_connection: object) -> None:
        from sqlalchemy.exc import OperationalError

        if words:
            raise OperationalError("BEGIN", {}, Exception(words[0]))

    body = {"spec": bench.raw_spec()}
    busy = client.post(f"{API}/experiments", json=body)
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
    words.pop(0)
    assert client.post(f"{API}/experiments", json=body).status_code == 507
    words.clear()
    assert client.post(f"{API}/experiments", json=body).status_code == 202


def test_health(client: TestClient, database: Database, settings: Settings) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").status_code == 503
    from app.columns import now
    from app.services import workers

    with database.write() as session:
        workers.seen(session, "w", "host", "cpu", None, now())
    assert client.get("/readyz").json() == {"status": "ready"}
