"""Sweeps over REST, by the client, and on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel, TypeAdapter
from typer.testing import CliRunner

from app import cli, cli_doors, cli_sweeps, sweep_schemas
from app.api import sweep_examples as examples
from app.client import Client
from app.db import Database
from app.requests import SweepRequest
from app.schemas import Launched
from app.settings import Settings
from tests.app import workbench as bench
from tests.app.conftest import LOCAL
from tests.app.test_client import Through
from tests.app.test_sweeps import work_off

API = "/api/v1"
MODELS: list[tuple[dict[str, Any], type[BaseModel]]] = [
    *((launch, SweepRequest) for launch in examples.LAUNCHES),
    (examples.LAUNCHED, Launched),
    (examples.SWEEP, sweep_schemas.SweepSummary),
    (examples.DETAIL, sweep_schemas.SweepDetail),
]


def body(**changes: Any) -> dict[str, Any]:
    return {
        "spec": bench.raw_spec(trials=20),
        "field": "data.poisons",
        "values": [2, 8, 32],
    } | changes


@pytest.mark.parametrize(("example", "model"), MODELS, ids=lambda v: getattr(v, "__name__", ""))
def test_examples_are_what_the_models_say(example: dict[str, Any], model: type[BaseModel]) -> None:
    TypeAdapter(model).validate_python(example)
    assert set(example) <= set(model.model_fields), "an example with a field that is not there"


@pytest.mark.parametrize("launch", examples.LAUNCHES)
def test_what_the_examples_launch_can_be_launched(
    client: TestClient, launch: dict[str, Any]
) -> None:
    assert client.post(f"{API}/sweeps/estimates", json=launch).json()["seconds"] > 0
    assert client.post(f"{API}/sweeps", json=launch).status_code == 202


def test_a_sweep_from_launch_to_ed50(client: TestClient, database: Database) -> None:
    response = client.post(f"{API}/sweeps", json=body(), headers={"Idempotency-Key": "once"})
    again = client.post(f"{API}/sweeps", json=body(), headers={"Idempotency-Key": "once"})
    assert response.status_code == 202 and response.json() == again.json()
    url = response.headers["location"]
    work_off(database, ed50=8)
    found = client.get(url).json()
    assert found["state"] == "done" and len(found["rungs"]) == 3
    assert found["answer"].startswith("Half of the targets fall to")
    ed50 = found["victims"][0]["ed50"]
    assert ed50["low"] < 8 < ed50["high"] and ed50["direction"] == "within"
    listed = client.get(f"{API}/sweeps").json()["items"]
    assert [item["answer"] for item in listed] == [found["answer"]]
    experiment = client.get(f"{API}/experiments/{found['rungs'][0]['id']}").json()
    assert experiment["sweep_id"] == found["id"]


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"values": [5, 300]}, "values", "at data.poisons = 300"),
        ({"values": []}, "values", "at least 1"),
        ({"field": "trials"}, "field", "data.poisons"),
        ({"design": "adaptive"}, "budget", "how many trials"),
        ({"spec": {"attack": {"name": "x"}}}, "spec.attack.name", "x"),
        ({"colour": 1}, "colour", "no such field"),
    ],
)
def test_bad_input_names_its_field(
    client: TestClient, changes: dict[str, Any], field: str, says: str
) -> None:
    for path in ("sweeps", "sweeps/estimates"):
        problem = client.post(f"{API}/{path}", json=body(**changes))
        assert problem.status_code == 422
        errors = {error["field"]: error["message"] for error in problem.json()["errors"]}
        assert says in errors[field]


def test_cancel_and_retry(client: TestClient) -> None:
    url = client.post(f"{API}/sweeps", json=body()).json()["url"]
    assert client.post(f"{url}/retry").status_code == 409
    assert client.post(f"{url}/cancel").json()["state"] == "cancelled"
    assert client.post(f"{url}/cancel").status_code == 409
    taken_up = client.post(f"{url}/retry")
    assert taken_up.status_code == 202 and taken_up.json()["state"] == "waiting"
    assert client.get(f"{API}/sweeps/77").status_code == 404


def test_another_training_set_size_is_laid_over(client: TestClient, database: Database) -> None:
    for size in (250, 500):
        data = {"dataset": "digits_5_9", "train_size": size, "poisons": 5}
        client.post(f"{API}/sweeps", json=body(spec=bench.raw_spec(trials=50, data=data)))
    client.post(f"{API}/sweeps", json=body(field="attack.eps_255"))
    work_off(database, ed50=8)
    found = client.get(f"{API}/sweeps/1", params={"with": 2}).json()
    assert found["unit"]["name"] == "count"
    assert client.get(f"{API}/sweeps/1").json()["unit"] is None
    problem = client.get(f"{API}/sweeps/1", params={"with": 3}).json()
    assert problem["errors"][0] | {"message": ""} == {
        "field": "with", "message": "", "remedy": "one of: 2",
    }  # fmt: skip


# --- from a script and on the command line ------------------------------------------------------


@pytest.fixture
def terminal(client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A terminal on the machine of the server."""
    through = Through(client)
    monkeypatch.setattr(
        cli_doors, "Client", lambda url, token=None: Client(LOCAL, token, transport=through)
    )
    monkeypatch.setattr(cli_sweeps, "POLL_S", 0.0)
    monkeypatch.setenv("DOSIMETER_HOME", str(settings.root))
    return CliRunner()


def test_a_sweep_from_a_script(client: TestClient, database: Database) -> None:
    with Client(LOCAL, transport=Through(client)) as remote:
        spec = bench.raw_spec(trials=10)
        made = remote.launch_sweep(spec, "data.poisons", [2, 8], budget=30, key="k")
        assert remote.launch_sweep(spec, "data.poisons", [2, 8], budget=30, key="k") == made
        assert remote.sweep(made["id"])["design"] == "adaptive"
        assert remote.cancel_sweep(made["id"])["state"] == "cancelled"
        assert remote.retry_sweep(made["id"])["state"] == "waiting"
        assert [row["id"] for row in remote.sweeps()] == [made["id"]]


def test_the_command_line(
    terminal: CliRunner, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(bench.raw_spec(trials=20)), encoding="utf-8")
    asked = ["sweep", "run", str(path), "--field", "data.poisons"]
    monkeypatch.setattr(cli_sweeps.time, "sleep", lambda _: work_off(database, ed50=8))

    def say(*words: str, status: int = 0) -> str:
        result = terminal.invoke(cli.cli, list(words))
        assert result.exit_code == status, result.output
        return " ".join(result.output.split())

    followed = say(*asked, "--values", "2,8,32")
    assert "Sweep 1: " in followed and "Experiment 3 done" in followed
    assert "Half of the targets fall to" in followed
    assert "Half of the targets fall to" in say("sweep", "show", "1")
    assert "adaptive" not in say("sweep", "list")
    assert "Sweep 2: tried" in say(
        *asked, "--values", "2,8", "--budget", "40", "--title", "tried", "--no-wait"
    )
    assert "is cancelled" in say("sweep", "cancel", "2")
    assert "is queued" in say("sweep", "retry", "2")
    assert "could not convert" in say(*asked, "--values", "2,x", status=2)
