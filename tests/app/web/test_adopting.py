"""Weights trained elsewhere: kept as they came, unseen by the server, judged by a job."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.models import Checkpoint, Job
from app.services import adopting, jobs, results
from app.storage import Stored, hash_file
from poisoning.events import CheckpointDone, Failed
from poisoning.recipes import RECIPES
from poisoning.spec import AdoptSpec
from tests.app.web.conftest import HOSTILE

AT = datetime(2026, 3, 2, tzinfo=UTC)
WEIGHTS = b"\x80\x02what the server does not look into"
ASKED = {"adopt.name": "theirs", "adopt.model": "convnet3", "adopt.dataset": "digits_0_4"}


def send(
    client: TestClient, content: bytes = WEIGHTS, called: str = "theirs.pth", **changes: str
) -> Any:
    asked = ASKED | {f"adopt.{name}": value for name, value in changes.items()}
    return client.post("/checkpoints/adopt", data=asked, files={"file": (called, content)})


def uploads(app: FastAPI) -> list[Path]:
    return [p for p in app.state.settings.artifacts_dir.rglob("*") if p.is_file()]


def claim(app: FastAPI) -> jobs.Claim:
    with app.state.database.write() as session:
        found = jobs.claim(session, "w1", AT, 60)
    assert found is not None and found.kind == "adopt" and isinstance(found.spec, AdoptSpec)
    return found


def fail(app: FastAPI) -> None:
    failed = Failed(reason="bad_data", message="does not fit", field="file", remedy="rename")
    claimed = claim(app)
    with app.state.database.write() as session:
        assert jobs.fail(session, claimed.lease, failed, AT) == "failed"


def judge(app: FastAPI, accuracy: float = 0.687) -> None:
    claimed = claim(app)
    source = "trained elsewhere; read from theirs.pth, named as in resnet_groups"
    card = {"name": claimed.name, "test_images": 450, "num_classes": 5, "source": source}
    done = CheckpointDone(
        name=claimed.name,
        path="x.safetensors",
        sha256="5a" * 32,
        clean_accuracy=accuracy,
        card=card,
        seconds=2.0,
    )
    with app.state.database.write() as session:
        results.record_checkpoint(session, claimed.lease, done, Stored(done.sha256, 9), AT)
        jobs.finish(session, claimed.lease, AT)
        assert isinstance(claimed.spec, AdoptSpec)
        adopting.drop_upload(session, app.state.store, claimed.spec.sha256)


def test_a_file_is_kept_queued_judged_and_dropped(app: FastAPI, empty: TestClient) -> None:
    answer = send(empty, called=r"C:\nets\theirs.pth")
    assert answer.status_code == 200 and answer.url.path == "/checkpoints/theirs"
    assert "trained elsewhere are being read" in answer.text and "theirs.pth" in answer.text
    assert "nets" not in answer.text
    [kept] = uploads(app)
    assert kept.read_bytes() == WEIGHTS and kept.stem == hash_file(kept)
    assert kept.suffix == ".upload" and not list(app.state.settings.work_dir.iterdir())
    assert "reading weights" in empty.get("/queue").text
    assert send(empty).status_code == 200, "the same again is harmless"
    judge(app)
    text = empty.get("/checkpoints/theirs").text
    assert "trained elsewhere, names 68.7" in text and "measured here" in text
    assert "named as in resnet_groups" in text and "How it was read" in text
    assert "Recipe" not in text and "Adversarial" not in text and "guessing" not in text
    assert "trained elsewhere" in empty.get("/checkpoints").text
    assert uploads(app) == []
    assert send(empty).status_code == 200, "nor does it start anything once it is ready"
    assert uploads(app) == []
    with app.state.database.read() as session:
        assert session.query(Job).count() == 1


def test_weights_that_only_guess_are_called_that(app: FastAPI, empty: TestClient) -> None:
    send(empty)
    judge(app, accuracy=0.21)
    assert "hardly better than guessing" in empty.get("/checkpoints/theirs").text


@pytest.mark.parametrize(
    ("content", "changes", "field", "said"),
    [
        (b"", {}, "file", "is empty"),
        (WEIGHTS, {"name": ""}, "name", "is missing"),
        (WEIGHTS, {"name": "../up"}, "name", "small letters"),
        (WEIGHTS, {"name": next(iter(RECIPES))}, "name", "the name of a recipe"),
        (WEIGHTS, {"model": ""}, "model", "is missing"),
        (WEIGHTS, {"model": "convnet33"}, "model", "did you mean convnet3"),
        (WEIGHTS, {"model": "vgg16_tiny"}, "model", "takes images of"),
        (WEIGHTS, {"dataset": "digits"}, "dataset", "did you mean"),
        (WEIGHTS, {"dataset": "cifar10"}, "dataset", "dosimeter data download"),
        (WEIGHTS, {"naming": "their"}, "naming", "resnet_groups"),
        (WEIGHTS, {"renames": "a=b\nno rule"}, "renames.1", "is not PATTERN=REPLACEMENT"),
        (WEIGHTS, {"renames": "(=b"}, "renames.0", "no substitution"),
        (WEIGHTS, {"renames": "\n".join(["a=b"] * 33)}, "renames", "32"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    app: FastAPI,
    empty: TestClient,
    content: bytes,
    changes: dict[str, str],
    field: str,
    said: str,
) -> None:
    answer = send(empty, content, **changes)
    assert answer.status_code == 422 and "It was not taken in" in answer.text
    part = answer.text[answer.text.index('id="adopt"') :]
    link = f'<a href="#adopt-{field.partition(".")[0]}">{field}</a>'
    assert link in part and said in part[part.index(link) :]
    assert uploads(app) == [] and not list(app.state.settings.work_dir.iterdir())
    assert empty.get("/api/v1/checkpoints").json()["items"] == []


def test_all_that_is_wrong_is_said_at_once(empty: TestClient) -> None:
    text = send(empty, b"", name="", model="", renames="x").text
    for field in ("file", "name", "model", "renames.0"):
        assert f">{field}</a>" in text


def test_a_form_without_a_file_says_so(empty: TestClient) -> None:
    answer = empty.post("/checkpoints/adopt", data=ASKED, files={"card": ("a", b"b")})
    assert answer.status_code == 422 and 'href="#adopt-file"' in answer.text


def test_a_failed_one_says_why_and_is_asked_for_otherwise(app: FastAPI, empty: TestClient) -> None:
    send(empty, model="convnet3", called=HOSTILE)
    fail(app)
    text = empty.get("/checkpoints/theirs").text
    assert "file: does not fit; rename" in text and "could not be taken in" in text
    assert HOSTILE not in text and "Bring it in otherwise" in text
    form = empty.get("/checkpoints?form=adopt&name=theirs&model=convnet3").text
    assert '<option value="convnet3" selected>' in form[form.index('id="adopt"') :]
    assert uploads(app), "a retry reads it again"
    assert empty.post("/checkpoints/theirs/retry").url.path == "/checkpoints/theirs"
    fail(app)
    assert send(empty, b"another file", model="resnet6_w16").status_code == 200
    [kept] = uploads(app)
    assert kept.read_bytes() == b"another file"
    claimed = claim(app)
    assert isinstance(claimed.spec, AdoptSpec) and claimed.spec.model == "resnet6_w16"


def test_one_may_be_cancelled_and_queued_again(app: FastAPI, empty: TestClient) -> None:
    send(empty)
    assert "was cancelled" in empty.post("/checkpoints/theirs/cancel").text
    assert "being read" in empty.post("/checkpoints/theirs/retry").text
    assert empty.post("/checkpoints/theirs/retry").status_code == 409
    judge(app)
    assert empty.post("/checkpoints/theirs/cancel").status_code == 409


def test_names_and_files_are_taken_once(app: FastAPI, empty: TestClient) -> None:
    send(empty)
    assert "choose another name" in send(empty, b"another file").text
    assert "is being brought in, as &#39;theirs&#39;" in send(empty, name="again").text
    judge(app)
    assert "is here already, as &#39;theirs&#39;" in send(empty, name="again").text
    assert send(empty, name="again", dataset="digits_5_9").status_code == 200, "other images"
    with app.state.database.read() as session:
        assert session.query(Checkpoint).count() == 2


def test_an_upload_that_another_job_wants_stays(app: FastAPI, empty: TestClient) -> None:
    send(empty)
    send(empty, name="again", dataset="digits_5_9")
    judge(app)
    assert len(uploads(app)) == 1
    judge(app)
    assert uploads(app) == []
