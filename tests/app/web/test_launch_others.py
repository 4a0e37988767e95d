"""The forms that train a checkpoint and launch a study."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.models import Checkpoint
from tests.app.web.test_launch import count, error_beside


def test_a_checkpoint_is_trained_by_recipe_or_by_a_spec_of_ones_own(
    app: FastAPI, empty: TestClient
) -> None:
    sent = {"name": "mine", "spec.model": "convnet3", "spec.dataset": "digits_0_4"}
    answer = empty.post("/checkpoints", data=sent | {"spec.epochs": "2"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/checkpoints/mine")
    assert "is being trained" in empty.get("/checkpoints/mine").text
    text = empty.get("/checkpoints?recipe=convnet3-digits_0_4-s0").text
    assert 'name="spec.epochs" value="15"' in text


@pytest.mark.parametrize(
    ("field", "typed", "says"),
    [
        ("spec.epochs", "0", "at least 1"),
        ("spec.model", "resnet81", "no model named"),
        ("name", "Not A Name", "pattern"),
        ("name", "", "pattern"),
    ],
)
def test_a_bad_recipe_is_refused_beside_its_field(
    app: FastAPI,
    empty: TestClient,
    field: str,
    typed: str,
    says: str,
) -> None:
    sent = {"name": "mine", "spec.model": "convnet3", "spec.dataset": "digits_0_4"}
    answer = empty.post("/checkpoints", data=sent | {field: typed})
    assert answer.status_code == 422
    assert says in error_beside(answer.text, field.replace(".", "-"))
    assert count(app, Checkpoint) == 0


# --- studies -------------------------------------------------------------------------------------


def test_a_study_sent_twice_is_launched_once(app: FastAPI, empty: TestClient) -> None:
    sent = {"name": "demonstration", "profile": "smoke", "idempotency_key": "k" * 32}
    answers = [empty.post("/studies", data=sent, follow_redirects=False) for _ in range(2)]
    assert [a.headers["location"] for a in answers] == ["/studies/1", "/studies/1"]
    assert empty.get("/studies/1").status_code == 200
    assert count(app) > 0


def test_an_unknown_study_or_profile_is_refused(app: FastAPI, empty: TestClient) -> None:
    assert empty.post("/studies", data={"name": "demo", "profile": "smoke"}).status_code == 422
    sent = {"name": "demonstration", "profile": "huge"}
    assert empty.post("/studies", data=sent).status_code == 422
    assert count(app) == 0
