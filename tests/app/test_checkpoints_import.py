"""Checkpoints brought in over REST, by the client and by the command line."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from app import cli, cli_doors
from app.client import Client, Refused
from app.db import Database
from app.settings import Settings
from poisoning import shipped
from tests.app import workbench as bench
from tests.app.conftest import LOCAL
from tests.app.test_client import Through

SHIPPED = "convnet3-cifar100-8ep-s0"
FILE = shipped.FOLDER / f"{SHIPPED}.safetensors"
ASKED = {"name": "theirs", "model": "convnet3", "dataset": "digits_0_4"}
PLAIN = {"Sec-Fetch-Site": "none"}
PATH = "/api/v1/checkpoints/import"


def send(client: TestClient, files: dict[str, Any] | None = None, **asked: Any) -> Any:
    sent = {"file": ("theirs.pth", b"weights")} if files is None else files
    return client.post(PATH, data=asked, files=sent, headers=PLAIN)


def test_both_forms_make_a_checkpoint(client: TestClient, database: Database) -> None:
    card = FILE.with_suffix(".json").read_bytes()
    ready = send(client, {"file": ("w", FILE.read_bytes()), "card": ("c", card)})
    assert ready.status_code == 202 and ready.json()["state"] == "ready"
    assert ready.headers["location"] == f"/api/v1/checkpoints/{SHIPPED}"
    queued = send(client, **ASKED, renames=["^net/=", "a=b"])
    assert queued.status_code == 202 and queued.json()["state"] == "queued"
    assert queued.json()["is_foreign"] and queued.json()["spec"]["naming"] == "auto"
    assert queued.json()["spec"]["renames"] == [["^net/", ""], ["a", "b"]]
    [job] = client.get("/api/v1/jobs?kind=adopt").json()["items"]
    assert job["state"] == "queued"
    assert client.post("/api/v1/checkpoints/theirs/cancel", json={}).json()["state"] == "cancelled"
    assert client.post("/api/v1/checkpoints/theirs/retry", json={}).json()["state"] == "queued"
    # an experiment that names it waits for it, and its cost can be told
    raw = bench.raw_spec(surrogates=["theirs"])
    estimate = client.post("/api/v1/estimates", json={"spec": raw})
    assert estimate.status_code == 200 and estimate.json()["pretrain_seconds"] > 0
    launched = client.post("/api/v1/experiments", json={"spec": raw})
    found = client.get(launched.json()["url"]).json()
    assert found["state"] == "waiting"
    train = client.post("/api/v1/checkpoints", json={"name": "theirs", "spec": {"epochs": 1}})
    assert train.status_code == 409


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (ASKED | {"naming": "their"}, "naming"),
        (ASKED | {"model": "convnet33"}, "model"),
        (ASKED | {"renames": ["a=b", "x"]}, "renames.1"),
        (ASKED | {"epochs": "3"}, "epochs"),
        ({"name": "theirs", "dataset": "digits_0_4"}, "model"),
    ],
)
def test_problems_name_the_field(client: TestClient, asked: dict[str, Any], field: str) -> None:
    answer = send(client, **asked)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_file_is_needed_and_a_card_says_the_rest(client: TestClient) -> None:
    for answer, field in (
        (client.post(PATH, json={}), "file"),
        (send(client, {"card": ("c", b"{}")}), "file"),
        (send(client, {"file": ("w", b"x"), "card": ("c", b"{}")}, model="convnet3"), "model"),
        (send(client, {"file": ("w", b"x"), "card": ("c", b"{}")}), "card"),
    ):
        assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == field
    assert client.post(PATH, files={"file": ("w", b"x")}).status_code == 403, "a page elsewhere?"


def test_what_is_too_large_is_refused(client: TestClient, settings: Settings) -> None:
    content = bytes(settings.max_body_mib * 2**20 + 1)
    assert send(client, {"file": ("w", content)}, **ASKED).status_code == 413
    assert not list(settings.artifacts_dir.rglob("*.upload"))


def test_the_client_brings_both_in(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "theirs.pth").write_bytes(b"weights")
    with Client(LOCAL, transport=Through(client)) as remote:
        assert remote.import_checkpoint(FILE, FILE.with_suffix(".json"))["state"] == "ready"
        made = remote.adopt_checkpoint(tmp_path / "theirs.pth", **ASKED, renames=["a=b"])
        assert made["spec"]["filename"] == "theirs.pth" and made["spec"]["renames"] == [["a", "b"]]
        assert remote.checkpoint("theirs")["state"] == "queued"
        with pytest.raises(Refused) as refused:
            remote.adopt_checkpoint(tmp_path / "theirs.pth", "other", "convnet33", "digits_0_4")
    assert refused.value.errors[0]["field"] == "model"


def test_the_command_line_brings_both_in(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(url: str, token: str | None = None) -> Client:
        return Client(url, token, transport=Through(client))

    monkeypatch.setattr(cli_doors, "Client", connect)
    (tmp_path / "theirs.pth").write_bytes(b"weights")
    words = ["checkpoints", "import", str(tmp_path / "theirs.pth"), "--name", "theirs"]
    asked = ["--model", "convnet3", "--dataset", "digits_0_4", "--rename", "a=b"]
    said = CliRunner().invoke(cli.cli, [*words, *asked], catch_exceptions=False)
    assert "Checkpoint theirs is queued" in said.output
    card = ["--card", str(FILE.with_suffix(".json"))]
    said = CliRunner().invoke(
        cli.cli, ["checkpoints", "import", str(FILE), *card], catch_exceptions=False
    )
    assert f"Checkpoint {SHIPPED} is ready" in said.output
