"""Checkpoints given away and brought in: only what the card describes, never code."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from safetensors.numpy import save

from app.services import importing
from poisoning import shipped
from poisoning.models import store
from tests.app import rows
from tests.app.web.conftest import HOSTILE

SHIPPED = "convnet3-cifar100-8ep-s0"
FILE = (shipped.FOLDER / f"{SHIPPED}.safetensors").read_bytes()
CARD = json.loads((shipped.FOLDER / f"{SHIPPED}.json").read_text())


def send(client: TestClient, file: bytes = FILE, name: str = "", **changes: Any) -> Any:
    card = json.dumps(CARD | changes).encode()
    files = {"file": ("w.safetensors", file), "card": ("w.json", card)}
    return client.post("/checkpoints/import", data={"name": name}, files=files)


def test_cards_are_those_that_networks_are_stored_with() -> None:
    assert importing.Card.model_fields.keys() == store.Card.model_fields.keys()
    assert store.Card.model_validate(CARD).sha256 == CARD["sha256"]


def test_a_checkpoint_is_brought_in_and_given_away_again(app: FastAPI, empty: TestClient) -> None:
    answer = send(empty)
    assert answer.status_code == 200 and answer.url.path == f"/checkpoints/{SHIPPED}"
    assert "says the card it came with" in answer.text
    assert "imported; its card says: trained by Dosimeter" in answer.text
    assert empty.get(f"/checkpoints/{SHIPPED}/file.safetensors").content == FILE
    card = empty.get(f"/checkpoints/{SHIPPED}/card.json")
    assert "attachment" in card.headers["content-disposition"]
    # what is stored can be loaded as any other
    net, stored = store.load(app.state.store.path("checkpoints", CARD["sha256"]))
    assert stored.model_dump(mode="json") == card.json() and not net.training
    seen = empty.get(f"/api/v1/checkpoints/{SHIPPED}").json()
    assert seen["state"] == "ready" and seen["clean_accuracy"] == CARD["clean_accuracy"]
    assert send(empty).status_code == 200, "the same again is harmless"


def test_one_without_a_recipe_gets_a_name_of_its_own(empty: TestClient) -> None:
    answer = send(empty, name="from-elsewhere", recipe=None, source=HOSTILE)
    assert answer.url.path == "/checkpoints/from-elsewhere"
    assert HOSTILE not in answer.text and "how it was trained is not known here" in answer.text
    assert "the same weights are here already" in send(empty, name="again", recipe=None).text


def integers() -> bytes:
    return save({"weight": np.zeros((2, 2), np.int64)})


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        (FILE + b"x", {}, "its sha256 differs"),
        (b"\x80\x04pickled", {"sha256": digest(b"\x80\x04pickled")}, "is no safetensors file"),
        (integers(), {"sha256": digest(integers())}, "holds no weights"),
        (FILE, {"sha256": "../../etc/passwd"}, "is no card: sha256"),
        (FILE, {"model": "resnet180"}, "resnet18"),
        (FILE, {"dataset": "cifar1000"}, "cifar100"),
        (FILE, {"num_classes": 10}, "does not fit CIFAR-100"),
        (FILE, {"clean_accuracy": 1.2}, "clean_accuracy"),
        (FILE, {"unheard_of": 1}, "unheard_of"),
        (FILE, {"name": "../up"}, "small letters"),
        (FILE, {"recipe": None}, "choose another name"),
        (FILE, {"hardware": "x" * 70_000}, "too large to be a card"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(
    app: FastAPI, empty: TestClient, file: bytes, changes: dict[str, Any], said: str
) -> None:
    answer = send(empty, file, **changes)
    assert answer.status_code == 422 and said in answer.text
    assert "It was not taken in" in answer.text
    assert empty.get("/api/v1/checkpoints").json()["items"] == []
    folder = app.state.settings.artifacts_dir / "checkpoints"
    assert not folder.exists() or not list(folder.rglob("*.safetensors"))
    assert not list(app.state.settings.work_dir.iterdir())


def test_a_name_that_is_taken_is_refused(full: TestClient) -> None:
    taken = send(full, name=rows.WHITE)
    assert taken.status_code == 422 and "choose another name" in taken.text


@pytest.mark.parametrize("left_out", ["file", "card"])
def test_both_files_are_needed(empty: TestClient, left_out: str) -> None:
    files = {"file": ("w.safetensors", FILE), "card": ("w.json", json.dumps(CARD).encode())}
    del files[left_out]
    answer = empty.post("/checkpoints/import", files=files)
    assert answer.status_code == 422 and f'href="#import-{left_out}"' in answer.text


def test_a_checkpoint_whose_file_is_gone_offers_none(full: TestClient) -> None:
    assert "Take it away" not in full.get(f"/checkpoints/{rows.WHITE}").text
    assert full.get(f"/checkpoints/{rows.WHITE}/file.safetensors").status_code == 404
    assert full.get("/checkpoints/nobody/card.json").status_code == 404


def test_a_checkpoint_names_the_experiments_that_use_it(full: TestClient) -> None:
    text = full.get(f"/checkpoints/{rows.WHITE}").text
    assert 'href="/experiments/2"' in text[text.index('id="uses"') :]
