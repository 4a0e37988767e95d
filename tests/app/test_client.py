"""The Python client and the command line, against the real application."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from app import cli, cli_doors
from app.client import Client, Refused, Unreachable
from app.db import Database
from app.settings import Settings
from poisoning import spec_yaml
from poisoning.poison_set import PoisonSet, load
from tests.app import workbench as bench
from tests.app.conftest import LOCAL


class Through(httpx.BaseTransport):
    """Hands a client's requests to the application in this process."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        headers = {k: v for k, v in request.headers.items() if k != "host"}
        answer = self.client.request(
            request.method, str(request.url), content=request.read(), headers=headers
        )
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


@pytest.fixture
def remote(client: TestClient) -> Iterator[Client]:
    with Client(LOCAL, transport=Through(client)) as opened:
        yield opened


def test_an_experiment_from_a_script(remote: Client, database: Database) -> None:
    launched = remote.launch(bench.raw_spec(), title="mine", key="k")
    assert remote.launch(bench.raw_spec(), title="mine", key="k") == launched
    assert remote.estimate(bench.raw_spec())["batches"] == 1
    with pytest.raises(TimeoutError):
        remote.wait(launched["id"], timeout_s=0, poll_s=0)
    bench.work_off(database)
    assert remote.wait(launched["id"])["state"] == "done"
    assert [trial["number"] for trial in remote.trials(launched["id"])] == [0, 1, 2, 3]
    assert [row["title"] for row in remote.experiments(state="done")] == ["mine"]
    [board], [title] = remote.leaderboards(), remote.leaderboard_titles()
    assert remote.leaderboard(title["key"])["rows"] == board["rows"]
    assert len(list(remote.checkpoints())) == 2
    assert remote.log(launched["id"]) == []
    assert remote.clone(launched["id"])["id"] == 2
    assert remote.cancel(2)["state"] == "cancelled"
    assert remote.retry(2)["state"] == "queued"


def test_a_study_from_a_script(remote: Client, database: Database) -> None:
    assert "demonstration" in [row["name"] for row in remote.studies()]
    launched = remote.launch_study("demonstration", "smoke")
    bench.work_off(database)
    assert remote.study(launched["id"])["state"] == "done"


def test_a_refusal_carries_its_fields(remote: Client) -> None:
    with pytest.raises(Refused) as caught:
        remote.launch(bench.raw_spec(trials=0))
    assert caught.value.status == 422
    assert caught.value.errors[0]["field"] == "spec.trials"
    with pytest.raises(Refused, match="paper"):
        remote.launch_study("demonstration", "paper")


def test_nobody_there(settings: Settings) -> None:
    with Client("http://127.0.0.1:9") as nobody, pytest.raises(Unreachable, match="no server"):
        nobody.get(1)


def test_a_poison_set_is_downloaded_whole(
    remote: Client, client: TestClient, application: object, tmp_path: Path
) -> None:
    made = PoisonSet(
        poisons=np.zeros((1, 3, 8, 8), np.uint8),
        labels=np.zeros(1, np.int64),
        base_indices=np.arange(1),
        target=np.zeros((1, 3, 8, 8), np.uint8),
        target_label=1,
        target_index=7,
        base_class=0,
    )
    store = client.app.state.store  # type: ignore[attr-defined]
    sha256 = bench.store_file(store, tmp_path, made.to_bytes()).sha256
    path = remote.download_poison_set(sha256, tmp_path / "set.safetensors")
    assert load(path).target_index == 7


# --- the command line ---------------------------------------------------------------------------


@pytest.fixture
def terminal(client: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A terminal on the machine of the server."""

    def connect(url: str, token: str | None = None) -> Client:
        return Client(LOCAL, token, transport=Through(client))

    monkeypatch.setattr(cli_doors, "Client", connect)
    monkeypatch.setenv("DOSIMETER_HOME", str(settings.root))
    return CliRunner()


def test_a_spec_may_be_yaml_and_what_is_wrong_with_it_is_named(
    terminal: CliRunner, tmp_path: Path
) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(spec_yaml.dump(bench.raw_spec()), encoding="utf-8")
    launched = terminal.invoke(cli.cli, ["run", str(path), "--no-wait"], catch_exceptions=False)
    assert launched.exit_code == 0 and "Experiment 1:" in launched.output
    path.write_text("attack:\n  name: bullseye_polytope\n  name: badnets\n", encoding="utf-8")
    refused = terminal.invoke(cli.cli, ["run", str(path), "--no-wait"])
    assert refused.exit_code == 2
    assert "line 3" in refused.output and "twice" in refused.output


def test_commands_drive_a_running_server(
    terminal: CliRunner, database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(bench.raw_spec()), encoding="utf-8")

    def say(*words: str) -> str:
        result = terminal.invoke(cli.cli, list(words), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    assert "About" in say("estimate", str(path))
    assert "Experiment 1:" in say("run", str(path), "--no-wait")
    assert "waiting" in say("experiments", "list")
    assert "Nothing is measured" in say("leaderboard")
    bench.work_off(database)
    assert "fools 3 of 4" in say("experiments", "show", "1")
    assert "says 7" in say("trials", "1")
    shown = say("leaderboard")
    assert "Bullseye Polytope" in shown and "rank" not in shown  # nobody is beside it
    assert "ready" in say("checkpoints", "list")
    assert "queued" in say("checkpoints", "train", "convnet3-digits_0_4-s1")
    assert "Experiment 2" in say("experiments", "clone", "1")
    assert "cancelled" in say("experiments", "cancel", "2")
    assert "demonstration" in say("study", "list")


def test_tokens_are_shown_once_and_revoked(terminal: CliRunner, settings: Settings) -> None:
    secret = terminal.invoke(cli.cli, ["token", "create", "ci", "--scope", "read"]).output.strip()
    listed = terminal.invoke(cli.cli, ["token", "list"]).output
    prefix = secret.split("_")[1]
    assert prefix in listed and secret not in listed
    assert "revoked" in terminal.invoke(cli.cli, ["token", "revoke", prefix]).output
    assert "datasets" in terminal.invoke(cli.cli, ["data", "path"]).output


def test_an_error_is_a_line_and_not_a_traceback(
    terminal: CliRunner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["dosimeter", "experiments", "show", "99"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    shown = capsys.readouterr().err
    assert "there is no experiment 99" in shown
    assert "Traceback" not in shown
