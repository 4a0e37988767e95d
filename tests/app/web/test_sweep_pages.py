"""The pages of sweeps, and the launch form's section that makes one; all without JavaScript."""

import re
import shlex
from html import unescape
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.db import Database
from app.requests import SweepRequest
from app.services import sweeps
from poisoning import params
from tests.app import rows
from tests.app import workbench as bench
from tests.app.test_sweeps import work_off
from tests.app.web.conftest import HOSTILE

FORM = {
    "attack.name": "bullseye_polytope",
    "attack.eps_255": "32",
    "surrogates": rows.WHITE,
    "victims.0.regime": "frozen",
    "victims.0.checkpoint": rows.WHITE,
    "data.dataset": "digits_5_9",
    "data.train_size": "500",
    "data.poisons": "5",
    "trials": "6",
    "sweep.field": "data.poisons",
    "sweep.values": "2, 8; 32",
}


def launched(app: FastAPI, **changes: Any) -> int:
    given = {"spec": bench.raw_spec(trials=20), "field": "data.poisons", "values": [2, 8, 32]}
    request = SweepRequest.model_validate(given | changes)
    with app.state.database.write() as session:
        return sweeps.launch(session, app.state.settings, request, bench.AT).id


@pytest.fixture
def database(app: FastAPI, empty: TestClient) -> Database:
    opened: Database = app.state.database
    return opened


def test_the_empty_list_says_what_to_do(empty: TestClient) -> None:
    text = empty.get("/sweeps").text
    assert "No sweep was launched yet." in text and "dosimeter sweep run" in text
    [start] = re.findall(r'href="(/experiments/new\?[^"]*)#sweep">Fill in', text)
    form = empty.get(start.replace("&amp;", "&")).text
    assert 'value="1, 2, 5, 10, 20, 50"' in form
    assert '<option value="data.poisons" selected>number of poisons</option>' in form


def test_the_page_answers_first_and_draws_what_it_says(
    app: FastAPI, empty: TestClient, database: Database
) -> None:
    sweep_id = launched(app, title=HOSTILE)
    work_off(database, ed50=8)
    text = empty.get(f"/sweeps/{sweep_id}").text
    [answer] = re.findall(r'<p class="answer"[^>]*>(.*?)</p>', text)
    assert re.fullmatch(
        r"Half of the targets fall to [\d.]+ poisons \(95\s% interval .*\)\.", answer
    )
    assert text.count('<polygon class="band"') == text.count('<circle class="ed50-at"') == 2
    assert text.count('<line class="error"') == 6
    for number in (1, 2, 3):
        assert f'href="/experiments/{number}">#{number}</a>' in text
    assert "<b>bold</b>" not in text and "hx-trigger" not in text
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=", text)
    assert empty.get("/sweeps").text.count(answer) == 1
    assert f'part of <a href="/sweeps/{sweep_id}">' in empty.get("/experiments/1").text


def test_it_is_live_and_can_be_cancelled_and_gone_on_with(
    app: FastAPI, empty: TestClient, database: Database
) -> None:
    sweep_id = launched(app)
    text = empty.get(f"/sweeps/{sweep_id}").text
    assert 'http-equiv="refresh"' in text and 'hx-trigger="every 5s"' in text
    assert "Nothing is judged yet." in text and "No trial is judged yet." in text
    assert empty.post(f"/sweeps/{sweep_id}/cancel").url.path == f"/sweeps/{sweep_id}"
    text = empty.get(f"/sweeps/{sweep_id}").text
    assert "Go on" in text and "cancelled" in text and "hx-trigger" not in text
    assert empty.post(f"/sweeps/{sweep_id}/retry").status_code == 200
    assert empty.get("/sweeps/99").status_code == 404


def test_before_its_end_the_answer_is_one_so_far(
    app: FastAPI, empty: TestClient, database: Database
) -> None:
    sweep_id = launched(app)
    while (claimed := bench.must_claim(database)).kind == "pretrain":
        bench.pretrain(database, claimed)
    bench.record(database, claimed.lease, bench.trial_done(claimed, 0))
    text = empty.get(f"/sweeps/{sweep_id}").text
    assert "So far: 1 of 1 targets fall to 2 poisons; a curve needs a second dose." in text


@pytest.mark.parametrize(
    ("ed50", "says"),
    [(1e9, "Fewer than half of the targets fall even to 32 poisons"), (1e-9, "More than half")],
)
def test_not_reached_is_said_and_not_drawn(
    app: FastAPI, empty: TestClient, database: Database, ed50: float, says: str
) -> None:
    sweep_id = launched(app)
    work_off(database, ed50)
    text = empty.get(f"/sweeps/{sweep_id}").text
    assert says in text and "ED50 is not reached in this range" in text
    assert "ed50-at" not in text


def test_another_training_set_is_laid_over(
    app: FastAPI, empty: TestClient, database: Database
) -> None:
    for size in (250, 500):
        data = {"dataset": "digits_5_9", "train_size": size, "poisons": 5}
        launched(app, spec=bench.raw_spec(trials=50, data=data))
    work_off(database, ed50=8)
    assert 'name="with" value="2">' in empty.get("/sweeps/1").text
    text = empty.get("/sweeps/1?with=2").text
    assert "The number of poisons says more than their share" in text
    assert 'name="with" value="2" checked>' in text
    assert "Poisoned share of the training set" in text and "250 training images" in text
    assert empty.get("/sweeps/1?with=1").status_code == 200
    assert empty.get("/sweeps/1?with=7").status_code == 422


# --- the form -----------------------------------------------------------------------------------


def test_the_form_launches_a_sweep(empty: TestClient) -> None:
    sent = FORM | {"idempotency_key": "k", "title": "mine", "tags": "a, b", "notes": "why"}
    answers = [empty.post("/experiments", data=sent, follow_redirects=False) for _ in range(2)]
    assert [answer.headers["location"] for answer in answers] == ["/sweeps/1"] * 2
    found = empty.get("/api/v1/sweeps/1").json()
    assert found["values"] == [2, 8, 32] and found["design"] == "grid"
    assert (found["title"], found["tags"], found["notes"]) == ("mine", ["a", "b"], "why")
    again = empty.get("/experiments/new?sweep=1").text
    assert 'value="2, 8, 32"' in again and 'value="mine"' in again


def test_the_form_launches_an_adaptive_sweep(empty: TestClient) -> None:
    sent = FORM | {"sweep.design": "adaptive", "sweep.budget": "60"}
    assert empty.post("/experiments", data=sent).url.path == "/sweeps/1"
    text = empty.get("/sweeps/1").text
    assert "adaptive, 6 trials a step" in text and "0 of 60" in text


def test_without_the_section_it_is_one_experiment(empty: TestClient) -> None:
    sent = FORM | {"sweep.field": "", "sweep.values": " ", "sweep.design": "grid"}
    assert empty.post("/experiments", data=sent).url.path == "/experiments/1"


@pytest.mark.parametrize(
    ("changes", "name", "says"),
    [
        ({"sweep.values": "2, x"}, "sweep-values", "Value 2 should be a valid number"),
        ({"sweep.values": "2, 300"}, "sweep-values", "At data.poisons = 300: 300 poisons do not"),
        ({"sweep.values": ""}, "sweep-values", "List should have at least 1"),
        ({"sweep.field": ""}, "sweep-field", "Is not chosen; choose one"),
        ({"sweep.field": "attack.patch_size"}, "sweep-field", "has no patch_size"),
        ({"sweep.design": "adaptive"}, "sweep-budget", "how many trials it may take in all"),
        ({"sweep.budget": "40"}, "sweep-budget", "A grid runs its trials at every value"),
        ({"sweep.budget": "many"}, "sweep-budget", "should be a valid integer"),
        ({"data.poisons": "-1"}, "data-poisons", "must be at least 1"),
    ],
)
def test_errors_stand_beside_their_inputs(
    empty: TestClient, changes: dict[str, str], name: str, says: str
) -> None:
    answer = empty.post("/experiments", data=FORM | changes)
    assert answer.status_code == 422
    [error] = re.findall(rf'<p class="error" id="{name}-error">(.*?)</p>', answer.text)
    assert says.lower() in error.lower()
    estimated = empty.get("/experiments/new", params=FORM | changes | {"do": "estimate"}).text
    assert f'id="{name}-error"' in estimated
    assert empty.get("/api/v1/sweeps").json()["items"] == []


def test_the_estimate_covers_every_value(full: TestClient) -> None:
    def total(text: str) -> str:
        [found] = re.findall(r"<dt>Basis</dt><dd>(.*?)</dd>", text)
        return str(found)

    assert "3 experiments;" in total(full.get("/experiments/new", params=FORM).text)
    one = FORM | {"sweep.field": "", "sweep.values": ""}
    assert "experiments;" not in total(full.get("/experiments/new", params=one).text)


def test_the_control_can_be_swept_too(app: FastAPI, empty: TestClient, database: Database) -> None:
    spec = rows.spec(params.NoPerturbation()).model_dump(mode="json")
    sweep_id = launched(app, spec=spec)
    work_off(database, ed50=1e9)
    assert "Fewer than half" in empty.get(f"/sweeps/{sweep_id}").text


def test_the_scripts_offered_launch_the_same_sweep(empty: TestClient) -> None:
    sent = FORM | {"sweep.design": "adaptive", "sweep.budget": "60", "title": "it's mine"}
    text = unescape(empty.get("/experiments/new", params=sent).text)
    assert "dosimeter sweep run" in text and "bench.launch_sweep(spec, 'data.poisons'" in text
    line = re.search(r"(curl --fail-with-body .*?)</pre>", text, re.DOTALL)
    assert line
    words = shlex.split(line[1])
    assert words[2].endswith("/api/v1/sweeps")
    headers = {"Content-Type": "application/json"}
    body = words[words.index("-d") + 1]
    made = empty.post("/api/v1/sweeps", content=body, headers=headers).json()
    found = empty.get(made["url"]).json()
    assert (found["values"], found["budget"], found["title"]) == ([2, 8, 32], 60, "it's mine")
    wrong = empty.get("/experiments/new", params=FORM | {"sweep.values": "x"}).text
    assert "curl --fail-with-body" not in wrong
