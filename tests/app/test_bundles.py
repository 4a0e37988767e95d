"""Bundles from the server: by REST, by the command line, and what of a database goes in."""

import csv
import hashlib
import io
import zipfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from typer.testing import CliRunner

from app import cli, cli_doors
from app.client import Client, Refused
from app.db import Database
from app.models import PoisonSet, Provenance
from app.services import results
from app.settings import Settings
from app.storage import Store
from poisoning import bundle, consistency, params
from tests.app import rows
from tests.app import workbench as bench
from tests.app.conftest import LOCAL
from tests.app.test_client import Through

HERE = {"program": {"version": "0.1.0", "commit": "5c" * 20, "is_dirty": False},
        "hardware": "a card", "versions": {"torch": "2.11.0"}}  # fmt: skip


@pytest.fixture
def remote(client: TestClient) -> Iterator[Client]:
    with Client(LOCAL, transport=Through(client)) as opened:
        yield opened


@pytest.fixture
def ran(database: Database, settings: Settings) -> int:
    """An experiment with four trials done, one of its poison sets on this server; its id."""
    with database.write() as session:
        rows.ready_checkpoints(session)
        attack = params.BullseyePolytope(eps_255=32)
        experiment = rows.launched(session, settings, attack, done=4, trials=5, title="BP, digits")
        kept = results.keep_provenance(session, HERE)
        for trial in experiment.trials[:4]:
            trial.provenance_id = kept
            for outcome in trial.outcomes:
                outcome.provenance_id = kept
        return experiment.id


def received(content: bytes, folder: Path) -> bundle.Received:
    path = folder / "received.zip"
    path.write_bytes(content)
    return bundle.read(path)


def test_an_experiment_is_downloaded_as_a_bundle(
    client: TestClient, ran: int, tmp_path: Path
) -> None:
    answer = client.get(f"/api/v1/experiments/{ran}/bundle")
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/zip"
    assert f'filename="dosimeter-experiment-{ran}.zip"' in answer.headers["content-disposition"]
    assert int(answer.headers["content-length"]) == len(answer.content)
    said = answer.headers["repr-digest"].removeprefix("sha-256=:").removesuffix(":")
    assert b64decode(said) == hashlib.sha256(answer.content).digest()
    made = received(answer.content, tmp_path)
    about = made.manifest
    assert (about.kind, about.title) == ("experiment", "BP, digits")
    assert about.permalink == f"{LOCAL}/experiments/{ran}" and about.date is not None
    assert [row.trial for row in made.bundle.trials] == [0, 1, 2, 3], "those that are done"
    assert {row.name for row in made.bundle.checkpoints} == {rows.WHITE, rows.BLACK}
    assert all(row.card["recipe"]["epochs"] == 15 for row in made.bundle.checkpoints)
    assert list(made.bundle.provenances.values()) == [HERE]
    assert not [name for name in about.members if name.startswith("poisons/")]


def test_the_same_results_are_the_same_bytes(client: TestClient, ran: int) -> None:
    one, two = (client.get(f"/api/v1/experiments/{ran}/bundle").content for _ in range(2))
    assert one == two


def test_it_has_no_secret_and_no_path(
    client: TestClient, ran: int, settings: Settings, tmp_path: Path
) -> None:
    answer = client.get(f"/api/v1/experiments/{ran}/bundle?with_poisons=true")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as opened:
        text = b"".join(opened.read(name) for name in opened.namelist())
    assert str(settings.root).encode() not in text and str(tmp_path).encode() not in text
    assert b"bench:1:ab" not in text, "who ran it is nobody's business"


def test_poison_sets_go_in_when_asked_for_and_still_there(
    client: TestClient, database: Database, settings: Settings, ran: int, tmp_path: Path
) -> None:
    with database.read() as session:
        first, *others = session.scalars(select(PoisonSet.sha256).order_by(PoisonSet.id)).all()
    Store(settings.artifacts_dir).path("poison_sets", first).unlink()
    answer = client.get(f"/experiments/{ran}/bundle.zip?poisons=true")
    made = received(answer.content, tmp_path)
    found = {name for name in made.manifest.members if name.startswith("poisons/")}
    assert found == {f"poisons/{sha256}.safetensors" for sha256 in others}


def test_a_changed_poison_set_is_refused(
    client: TestClient, database: Database, settings: Settings, ran: int
) -> None:
    with database.read() as session:
        sha256 = session.scalars(select(PoisonSet.sha256)).first() or ""
    Store(settings.artifacts_dir).path("poison_sets", sha256).write_bytes(b"other")
    answer = client.get(f"/api/v1/experiments/{ran}/bundle?with_poisons=true")
    assert answer.status_code == 422 and sha256 in answer.json()["errors"][0]["field"]


def test_a_study_is_a_bundle_with_its_tables(
    client: TestClient, database: Database, tmp_path: Path
) -> None:
    body = {"name": "demonstration", "profile": "smoke"}
    launched = client.post("/api/v1/studies", json=body).json()
    bench.work_off(database)
    answer = client.get(f"/api/v1/studies/{launched['id']}/bundle")
    made = received(answer.content, tmp_path)
    assert (made.manifest.kind, made.manifest.name, made.manifest.profile) == (
        "study", "demonstration", "smoke",
    )  # fmt: skip
    assert made.manifest.rules == bundle.rules("demonstration", "smoke")
    assert len(made.bundle.experiments) == 3 and len(made.bundle.outcomes) == 30
    assert "tables/1-digits-success-by-access.csv" in made.texts
    tables = [f for f in consistency.faults(made) if "tables/" in f or "outcomes.csv" in f]
    assert tables == [], "what is written follows from the outcomes"


@pytest.mark.parametrize("path", ["studies/9/bundle", "experiments/9/bundle",
                                  "studies/9/outcomes.csv", f"provenances/{'0' * 64}"])  # fmt: skip
def test_what_is_not_there_is_not_found(client: TestClient, path: str) -> None:
    assert client.get(f"/api/v1/{path}").status_code == 404


def test_outcomes_as_one_flat_table(client: TestClient, ran: int) -> None:
    for path in (f"/api/v1/experiments/{ran}/outcomes.csv", f"/experiments/{ran}/outcomes.csv"):
        answer = client.get(path)
        assert answer.headers["content-type"].startswith("text/csv")
        table = list(csv.DictReader(io.StringIO(answer.text)))
        assert len(table) == 4 * 2
        assert {row["hardware"] for row in table} == {"a card"}
        assert {row["commit"] for row in table} == {"5c" * 20}
        assert {row["checkpoint"] for row in table} == {rows.WHITE, rows.BLACK}


def test_a_trial_and_its_outcomes_name_their_provenance(
    client: TestClient, database: Database, ran: int
) -> None:
    trial = client.get(f"/api/v1/experiments/{ran}/trials/0").json()
    with database.read() as session:
        sha256 = session.scalars(select(Provenance.sha256)).one()
    assert trial["provenance"] == sha256
    assert {outcome["provenance"] for outcome in trial["outcomes"]} == {sha256}
    listed = client.get(f"/api/v1/experiments/{ran}/trials").json()["items"]
    assert listed[0] == trial and listed[4]["provenance"] is None
    kept = client.get(f"/api/v1/provenances/{sha256}").json()
    assert kept == {"sha256": sha256, "data": HERE}


def test_a_script_downloads_a_bundle(remote: Client, ran: int, tmp_path: Path) -> None:
    path = remote.download_bundle("experiment", ran, tmp_path / "b.zip", with_poisons=True)
    made = bundle.read(path)
    assert made.poison_set(made.bundle.trials[0].poison_set) is not None
    with pytest.raises(Refused):
        remote.download_bundle("study", 9, tmp_path / "none.zip")
    assert not (tmp_path / "none.zip").exists()


def test_the_command_line_exports_and_verifies(
    remote: Client, ran: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def science(*arguments: str, folder: Path | None = None) -> int:
        asked.append(arguments)
        return 3

    monkeypatch.setattr(cli_doors, "Client", lambda *a, **k: remote)
    monkeypatch.setattr(cli, "_science", science)
    path = tmp_path / "b.zip"
    run = CliRunner().invoke
    done = run(cli.cli, ["export-bundle", "experiment", str(ran), "-o", str(path)])
    assert done.exit_code == 0 and path.is_file() and "dosimeter verify" in done.output
    checked = run(cli.cli, ["verify", str(path), "--sample", "2", "--checkpoints", str(tmp_path)])
    assert checked.exit_code == 3, "the science's own status"
    words = asked[0]
    assert words[:2] == ("verify", str(path)) and words[words.index("--sample") + 1] == "2"
    assert words[words.index("--checkpoints") + 1] == str(tmp_path)


# --- pages ------------------------------------------------------------------------------------


def test_pages_link_to_what_can_be_taken_away(
    client: TestClient, database: Database, ran: int
) -> None:
    page = client.get(f"/experiments/{ran}").text
    for name in ("bundle.zip", "bundle.zip?poisons=true", "outcomes.csv"):
        assert f'href="/experiments/{ran}/{name}"' in page
    client.post("/api/v1/studies", json={"name": "demonstration", "profile": "smoke"})
    assert "bundle.zip" not in client.get("/studies/1").text, "nothing of it is done"
    bench.work_off(database)
    assert 'href="/studies/1/bundle.zip"' in client.get("/studies/1").text
    assert client.get("/studies/1/bundle.zip").status_code == 200


def test_a_trial_says_how_it_was_made(client: TestClient, ran: int) -> None:
    page = client.get(f"/experiments/{ran}/trials/0").text
    made = page[page.index('id="made"') :]
    assert f"commit {'5c' * 20}" in made and "a card" in made and "torch 2.11.0" in made
    assert made.count("<dt>Provenance</dt>") == 1 and "<h3>" not in made


def test_a_victim_judged_elsewhere_is_told_apart(
    client: TestClient, database: Database, ran: int
) -> None:
    with database.write() as session:
        other = results.keep_provenance(session, HERE | {"hardware": "<i>another</i>"})
        experiment = session.get_one(rows.models.Experiment, ran)
        experiment.trials[0].outcomes[1].provenance_id = other
    page = client.get(f"/experiments/{ran}/trials/0").text
    made = page[page.index('id="made"') :]
    assert made.count("<dt>Provenance</dt>") == 2 and "<h3>Poisons, white box ConvNet-3" in made
    assert "<h3>Black box ResNet-6" in made and "&lt;i&gt;another" in made


def test_a_trial_of_an_earlier_version_says_so(
    client: TestClient, database: Database, settings: Settings
) -> None:
    with database.write() as session:
        rows.ready_checkpoints(session)
        made = rows.launched(session, settings, params.NoPerturbation(), done=1, trials=1)
        number = made.id
    assert "before provenances were kept" in client.get(f"/experiments/{number}/trials/0").text
