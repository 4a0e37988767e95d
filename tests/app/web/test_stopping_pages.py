"""Pages, files and REST of experiments that may stop early or were extended."""

import json
import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.db import Database
from app.models import Experiment
from app.queries import compare as comparing
from app.queries import curves, leaderboards, ranks
from app.queries import experiment_list as listing
from app.queries.experiments import Filters
from app.settings import Settings
from poisoning import stats
from tests.app import workbench as bench
from tests.app.web.conftest import HTML

NOTE = "confidence sequence: valid however often one looked"
SIX = {"trials": 6}


@pytest.fixture
def browser(application: FastAPI) -> Iterator[TestClient]:
    with TestClient(application, base_url="http://127.0.0.1:8000", headers=HTML) as client:
        yield client


@pytest.fixture
def measured(database: Database, settings: Settings) -> dict[str, int]:
    """Three experiments: one whose n was fixed, another seed of it that was not, another attack."""
    fixed = bench.launch(database, settings, **SIX)
    bench.work_off(database, 3)
    open_ended = bench.launch(database, settings, stop_width=0.02, seed=1, **SIX)
    bench.work_off(database, 5)
    other = bench.launch(
        database, settings, attack={"name": "feature_collision", "eps_255": 32}, **SIX
    )
    bench.work_off(database, 0)
    return {"fixed": fixed, "sequential": open_ended, "other": other}


def test_one_sequential_experiment_among_those_pooled_makes_the_interval_one(
    database: Database, measured: dict[str, int]
) -> None:
    expected = stats.confidence_sequence(3 + 5, 12)
    with database.read() as session:
        [pooled] = [row for row in listing.page(session, Filters()).items if len(row.ids) == 2]
        board = leaderboards.page(session)[0]
        sides = comparing.get(session, [[measured["fixed"], measured["sequential"]],
                                        [measured["other"]]])  # fmt: skip
    rates = [
        pooled.newest.victims[0].success,
        next(r.cells[0] for r in board.rows if r.attack == "bullseye_polytope").success,  # type: ignore[union-attr]
        next(r.success for r in sides.results if r.side == "A"),
    ]
    for rate in rates:
        assert rate is not None and rate.interval == "confidence_sequence"
        assert (rate.n, rate.low, rate.high) == (12, expected.low, expected.high)
    alone = next(r for r in sides.results if r.side == "B")
    assert alone.success.interval == "wilson" and alone.excess.interval == "newcombe"
    theirs = next(r for r in sides.results if r.side == "A").excess
    assert theirs.interval == "confidence_sequence"
    assert (theirs.low, theirs.high) == tuple(
        vars(stats.excess_sequence(8, 0, 12)[1])[name] for name in ("low", "high")
    )


def test_pairs_with_a_sequential_side_are_tested_sequentially(
    database: Database, measured: dict[str, int]
) -> None:
    with database.read() as session:
        found = comparing.get(session, [[measured["fixed"]], [measured["sequential"]]])
        plain = comparing.get(session, [[measured["fixed"]], [measured["other"]]])
        board = ranks.placed(session, leaderboards.page(session)[0])
    assert all(pair.is_sequential and "*." in pair.words for pair in found.pairs if pair.shared)
    for pair in found.pairs:
        assert pair.p == stats.mcnemar_sequential(pair.only_first, pair.only_second)
    assert not any(pair.is_sequential for pair in plain.pairs)
    assert board.pairs and all(pair.is_sequential for pair in board.pairs)


def test_the_rate_as_it_settles_has_its_sequence(
    database: Database, measured: dict[str, int]
) -> None:
    with database.read() as session:
        row = session.get_one(Experiment, measured["sequential"])
        first, *_ = curves.success_so_far(session, row)
        fixed, *_ = curves.success_so_far(session, session.get_one(Experiment, measured["fixed"]))
    assert {rate.interval for rate in (*first.success, *first.twin)} == {"confidence_sequence"}
    assert {rate.interval for rate in fixed.success} == {"wilson"}


def test_pages_mark_it_and_say_what_the_mark_means(
    browser: TestClient, measured: dict[str, int]
) -> None:
    sequential, fixed = measured["sequential"], measured["fixed"]
    for address in (
        f"/experiments/{sequential}", "/experiments", "/leaderboard", "/",
        f"/compare?ids={fixed},{sequential}",
    ):  # fmt: skip
        text = browser.get(address).text
        assert 'class="star"' in text, address
        assert f">* {NOTE}</p>" in text, address
    text = browser.get(f"/experiments/{fixed}").text
    assert 'class="star"' not in text and NOTE not in text


def test_a_page_says_at_what_width_its_experiment_stops(
    browser: TestClient, measured: dict[str, int]
) -> None:
    text = browser.get(f"/experiments/{measured['sequential']}").text
    assert "<dt>Stops when intervals are</dt><dd>2 points wide</dd>" in text
    assert "Stops when" not in browser.get(f"/experiments/{measured['fixed']}").text


@pytest.mark.parametrize("form", ["csv", "json", "markdown", "latex"])
def test_files_say_the_same(browser: TestClient, measured: dict[str, int], form: str) -> None:
    pair = f"{measured['fixed']},{measured['sequential']}"
    for address in (f"/compare?ids={pair}&table=rates", "/experiments?"):
        text = browser.get(f"{address}&format={form}").text
        assert NOTE in text, address
        assert re.search(r"\d\\?\*", text), address  # Markdown needs a backslash
    text = browser.get(f"/compare?ids={measured['fixed']},{measured['other']}&table=rates&format="
                      f"{form}").text  # fmt: skip
    assert NOTE not in text


def test_rest_names_the_interval(client: TestClient, measured: dict[str, int]) -> None:
    found = client.get(f"/api/v1/experiments/{measured['sequential']}").json()
    assert found["is_sequential"] and found["stop_width"] == 0.02 and found["stopped_at"] is None
    assert found["victims"][0]["success"]["interval"] == "confidence_sequence"
    assert found["victims"][0]["excess"]["interval"] == "confidence_sequence"
    found = client.get(f"/api/v1/experiments/{measured['fixed']}").json()
    assert found["victims"][0]["success"]["interval"] == "wilson"


# --- asked for ----------------------------------------------------------------------------------


def test_rest_launches_with_a_width_and_refuses_what_is_none(client: TestClient) -> None:
    body = {"spec": bench.raw_spec(), "stop_width": 0.3}
    made = client.post("/api/v1/experiments", json=body).json()
    assert client.get(made["url"]).json()["stop_width"] == 0.3
    for width in (0.01, 1, "wide"):
        refused = client.post("/api/v1/experiments", json=body | {"stop_width": width})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["field"] == "stop_width"


def test_rest_extends_once_for_one_key(client: TestClient, measured: dict[str, int]) -> None:
    address = f"/api/v1/experiments/{measured['fixed']}/extend"
    key = {"Idempotency-Key": "k1"}
    first = client.post(address, json={"trials": 10}, headers=key)
    assert first.status_code == 202
    assert (first.json()["trials_total"], first.json()["trials_done"]) == (10, 6)
    assert client.post(address, json={"trials": 10}, headers=key).status_code == 202
    again = client.post(address, json={"trials": 10})
    assert again.status_code == 422 and again.json()["errors"][0]["field"] == "trials"
    assert "ask for 11" in again.json()["errors"][0]["remedy"]
    assert client.post(address, json={"trials": 12}, headers=key).status_code == 422


def test_the_page_extends(
    browser: TestClient, database: Database, measured: dict[str, int]
) -> None:
    number = measured["fixed"]
    assert 'value="12"' in browser.get(f"/experiments/{number}").text
    form = {"trials": "9", "idempotency_key": "k"}
    for _ in range(2):
        sent = browser.post(f"/experiments/{number}/extend", data=form, follow_redirects=False)
        assert (sent.status_code, sent.headers["location"]) == (303, f"/experiments/{number}")
    bench.work_off(database, 9)
    text = browser.get(f"/experiments/{number}").text
    assert "6 of 9" in text and 'class="star"' in text
    assert browser.post(f"/experiments/{number}/extend", data={"trials": "x"}).status_code == 422


def flat(spec: dict[str, object], prefix: str = "") -> dict[str, str]:
    """A spec as the launch form sends it."""
    made: dict[str, str] = {}
    for name, value in spec.items():
        if isinstance(value, dict):
            made |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for index, item in enumerate(value):
                made |= flat(item, f"{prefix}{name}.{index}.")
        else:
            made[f"{prefix}{name}"] = value[0] if isinstance(value, list) else str(value)
    return made


def test_the_form_launches_with_a_width_in_points(browser: TestClient, database: Database) -> None:
    sent = flat(json.loads(json.dumps(bench.raw_spec())))
    made = browser.post("/experiments", data=sent | {"stop_points": "25"}, follow_redirects=False)
    assert made.status_code == 303, made.text
    number = int(made.headers["location"].rpartition("/")[2])
    with database.read() as session:
        row = session.get_one(Experiment, number)
        assert (row.stop_width, row.is_sequential) == (0.25, True)
    assert 'name="stop_points" value="25"' in browser.get(f"/experiments/new?clone={number}").text
    for typed in ("1", "95", "wide"):
        refused = browser.post("/experiments", data=sent | {"stop_points": typed})
        assert refused.status_code == 422
        assert 'id="stop_points-error"' in refused.text
    swept = {"stop_points": "25", "sweep.field": "data.poisons", "sweep.values": "1, 2, 5"}
    refused = browser.post("/experiments", data=sent | swept)
    assert refused.status_code == 422 and "A sweep runs all of its trials" in refused.text
