"""Every page: with data and without, escaped, self-contained, the same as fragment and as page."""

import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app import logs
from app.services import sums
from poisoning import params
from tests.app import rows
from tests.app.test_compare import equals_screen, in_csv, on_screen

PAGES = [
    "/",
    "/leaderboard",
    "/experiments",
    "/experiments?state=done&attack=bullseye_polytope&profile=smoke",
    "/experiments?group=no&sort=success&dir=up&cols=interval&cols=notes",
    "/compare",
    "/experiments/new",
    "/experiments/new?attack.name=feature_collision&do=estimate",
    "/checkpoints",
    "/checkpoints?recipe=convnet3-digits_0_4-s0",
    "/sweeps",
    "/studies",
    "/attacks",
    "/attacks/bullseye_polytope",
    "/attacks/no_perturbation",
    "/workers",
    "/queue",
    "/tokens",
    "/datasets",
    "/about",
    "/docs",
]
WITH_DATA = [
    "/experiments/1",
    "/experiments/2",
    "/experiments/3",
    "/experiments/1/trials/0",
    "/experiments/2/trials/19",
    "/experiments/new?clone=2",
    "/leaderboard?access=white_box&sort=cost&cols=success&cols=interval&works=yes",
    "/compare?ids=1",
    "/compare?ids=1,2,3",
    f"/checkpoints/{rows.WHITE}",
]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_opens_on_an_empty_database(empty: TestClient, path: str) -> None:
    assert empty.get(path).status_code == 200


@pytest.mark.parametrize("path", PAGES + WITH_DATA)
def test_every_page_opens_with_data(full: TestClient, path: str) -> None:
    assert full.get(path).status_code == 200


@pytest.mark.parametrize("path", PAGES + WITH_DATA)
def test_no_page_executes_or_styles_anything_inline_or_from_elsewhere(
    full: TestClient, path: str
) -> None:
    answer = full.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    text = answer.text
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)
    assert "<style" not in text
    assert not re.search(r"\sstyle=", text)
    assert not re.search(r"\son[a-z]+=", text)
    assert "javascript:" not in text
    loaded = re.findall(r'<(?:script|img|link|iframe)[^>]*\s(?:src|href)="([^"]*)"', text)
    assert loaded and all(address.startswith("/") for address in loaded)


@pytest.mark.parametrize("path", ["/", "/experiments", "/experiments/2", "/experiments/2/trials/3"])
def test_html_in_a_title_is_shown_and_not_obeyed(full: TestClient, path: str) -> None:
    text = full.get(path).text
    assert "<b>bold</b>" not in text
    assert "&lt;b&gt;bold&lt;/b&gt;" in text


@pytest.mark.parametrize(
    ("path", "target"),
    [("/", "now"), ("/experiments", "rows"), ("/experiments/2", "live"), ("/leaderboard", "board")],
)
def test_a_fragment_is_the_pages_own_block(full: TestClient, path: str, target: str) -> None:
    headers = {"HX-Request": "true", "HX-Target": target}
    fragment = full.get(path, headers=headers)
    page = full.get(path)
    assert "<html" in page.text and "<html" not in fragment.text
    assert fragment.text.strip().startswith(f'<div id="{target}"')
    assert fragment.text.strip() in page.text
    assert "HX-Request" in page.headers["vary"]


def test_a_page_polls_while_something_runs_and_stops_when_it_is_done(full: TestClient) -> None:
    done, running = full.get("/experiments/1").text, full.get("/experiments/2").text
    assert "hx-trigger" in running and "data-live" in running
    assert '<noscript><meta http-equiv="refresh"' in running
    assert "hx-trigger" not in done and "http-equiv" not in done


def test_the_leaderboard_shows_rates_with_error_bars_n_and_links_to_trials(
    full: TestClient,
) -> None:
    text = full.get("/leaderboard").text
    assert re.search(r'<span class="rate">\d+\.\d</span> <span class="pm">± \d+\.\d</span>', text)
    assert "of 8 trials" in text and "of 20 trials" in text
    assert 'href="/experiments/2#trials"' in text
    assert "eps 32/255" in text and "5 poisons among 500 training images" in text
    assert full.get("/leaderboard?board=nonsense").status_code == 404


def test_a_leaderboard_is_exported_as_it_is_shown(full: TestClient) -> None:
    for address in ("/leaderboard?", "/leaderboard?access=black_box&sort=excess&cols=excess&"):
        shown = full.get(address).text
        for key in ("leaderboard", "heat"):
            file = full.get(f"{address}table={key}&format=csv")
            equals_screen(on_screen(shown, key), in_csv(file.text))
            assert "commit" in file.text and "/leaderboard?board=" in file.text


def test_a_leaderboard_is_sorted_filtered_and_split_by_access(full: TestClient) -> None:
    def attacks(query: str) -> list[str]:
        rows = on_screen(full.get(f"/leaderboard?{query}").text, "leaderboard")[1:]
        return [row[0][0] for row in rows]

    white = ["Bullseye Polytope", "No perturbation (control)"]
    assert attacks("access=white_box") == white
    assert attacks("access=white_box&sort=success&dir=up") == white[::-1]
    assert attacks("text=bullseye") == white[:1] and attacks("works=yes") == white[:1]
    assert "No attack matches" in full.get("/leaderboard?text=nonsense").text
    text = full.get("/leaderboard?access=black_box").text
    assert "black-box" in text and "white-box" not in text


@pytest.mark.parametrize("query", ["sort=nonsense", "cols=x", "access=purple", "format=exe", "x=1"])
def test_a_wrong_leaderboard_address_is_a_page_that_says_so(full: TestClient, query: str) -> None:
    answer = full.get(f"/leaderboard?{query}")
    assert answer.status_code == 422 and "<html" in answer.text


def test_attacks_without_a_bound_never_lead(app: FastAPI, full: TestClient) -> None:
    with app.state.database.write() as session:
        attack = params.FeatureCollisionL2()
        unbounded = rows.launched(session, app.state.settings, attack, done=20)
        for trial in unbounded.trials:
            for outcome in trial.outcomes:
                outcome.success, outcome.twin_success = True, False
        session.flush()
        sums.recount(session)
    text = full.get("/leaderboard").text
    shown = on_screen(text, "leaderboard")[1:]
    assert [row[0][0] for row in shown] == [
        "Bullseye Polytope", "Feature Collision (l2 penalty)", "No perturbation (control)",
    ]  # fmt: skip
    assert (
        shown[1][0][1] == "unbounded, not ranked"
        and shown[1][1][0] == "–"
        and shown[1][2][0][:5] == "100.0"
    )
    assert '<p class="answer">Bullseye Polytope fools' in text


def test_an_empty_leaderboard_says_what_to_do(empty: TestClient) -> None:
    text = empty.get("/leaderboard").text
    assert "Nothing is measured yet." in text
    assert 'href="/experiments/new"' in text and 'href="/studies"' in text


def test_the_experiment_page_shows_twins_trials_and_spec(full: TestClient) -> None:
    text = full.get("/experiments/1").text
    assert "Excess over twin" in text and "against twin" in text
    assert text.count('id="trial-') == 20
    assert "spec_hash" in text and "no_perturbation" in text


def test_the_trial_page_says_who_was_fooled_and_what_the_twin_says(full: TestClient) -> None:
    text = full.get("/experiments/2/trials/1").text
    assert "victim is" in text and "Its twin calls it" in text
    assert "32/255" in text and "of a budget of 32/255" in text
    assert 'rel="prev"' in text and 'rel="next"' in text
    unfinished = full.get("/experiments/3/trials/0").text
    assert "not finished" in unfinished


@pytest.mark.parametrize(
    "path",
    [
        "/experiments/99999",
        "/experiments/1/trials/20",
        "/checkpoints/unheard-of",
        "/attacks/unheard-of",
        "/studies/12",
        "/nothing/here",
        "/experiments/new?clone=777",
        "/experiments/new?preset=none:smoke:0",
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(full: TestClient, path: str) -> None:
    answer = full.get(path)
    assert answer.status_code == 404
    assert "<html" in answer.text and "404" in answer.text


def test_a_cursor_from_elsewhere_is_a_proper_page(full: TestClient) -> None:
    answer = full.get("/experiments?cursor=AAAA")
    assert answer.status_code == 422 and "cursor" in answer.text and "<html" in answer.text


def test_filters_stay_in_the_form_and_narrow_the_list(full: TestClient) -> None:
    text = full.get("/experiments?state=done").text
    assert '<option value="done" selected>' in text
    assert 'href="/experiments/1"' in text and 'href="/experiments/2"' not in text
    assert "No experiment matches" in full.get("/experiments?state=cancelled").text


def test_cancel_and_retry_go_back_to_the_page(full: TestClient) -> None:
    answer = full.post("/experiments/3/cancel", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/experiments/3")
    assert "cancelled" in full.get("/experiments/3").text
    assert full.post("/experiments/3/retry", follow_redirects=False).status_code == 303
    assert "state-cancelled" not in full.get("/experiments/3").text
    assert full.post("/experiments/1/cancel").status_code == 409


def test_a_post_from_another_site_is_refused(full: TestClient) -> None:
    answer = full.post("/experiments/3/cancel", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403 and "<html" in answer.text
    assert "state-queued" in full.get("/experiments/3").text


def test_the_workers_page_says_who_does_what(full: TestClient) -> None:
    text = full.get("/workers").text
    assert 'href="/experiments/2"' in text and "silent" in text


def test_a_bug_is_a_page_too_and_the_log_stays_readable(
    app: FastAPI, full: TestClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("app.web.workers._answer", lambda *_: 1 / 0)
    logs.configure(app.state.settings)
    with TestClient(app, base_url=full.base_url, raise_server_exceptions=False) as client:
        answer = client.get("/workers", headers=dict(full.headers))
    assert answer.status_code == 500 and "<html" in answer.text
    assert "ZeroDivisionError" not in answer.text
    logged = capsys.readouterr().err
    assert "ZeroDivisionError" in logged and len(logged.splitlines()) < 300
