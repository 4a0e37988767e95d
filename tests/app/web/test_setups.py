"""One setup under every attack; one poison closely."""

import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Select, select

from app.models import Experiment, Outcome, Trial
from app.services import sums
from app.web import setups
from poisoning import params
from tests.app import rows


@pytest.fixture
def shared(app: FastAPI, full: TestClient) -> TestClient:
    """Experiments 1 (control), 2 and 4 (Bullseye) and 5 (BadNets) have the same setup 0; only
    experiment 2 fools somebody on it.
    """
    settings = app.state.settings
    with app.state.database.write() as session:
        bullseye = params.BullseyePolytope(eps_255=16, steps=200)
        rows.launched(session, settings, bullseye, done=2, title="<b>smaller</b>")
        rows.launched(session, settings, params.BadNets(), done=1)
        found = {row.experiment_id: row for row in session.scalars(_first())}
        for row in found.values():
            for name in ("target_class", "target_index", "base_class", "base_indices"):
                setattr(row, name, getattr(found[2], name))
        for outcome in session.scalars(select(Outcome)):
            outcome.success, outcome.twin_success = outcome.trial_id == found[2].id, False
    return full


def _first() -> Select[tuple[Trial]]:
    return select(Trial).where(Trial.number == 0, Trial.state == "done")


def attacks(text: str) -> list[str]:
    return re.findall(r'<article class="on-setup".*?href="/attacks/([a-z_]+)"', text, re.S)


def test_every_attack_on_the_setup_is_a_row(shared: TestClient) -> None:
    text = shared.get("/setups?experiment=2&trial=0").text
    assert attacks(text) == [
        "no_perturbation",
        "bullseye_polytope",
        "bullseye_polytope",
        "badnets",
    ]
    assert "1 of 3 attacks on this setup fools a victim whose clean twin is not fooled" in text
    assert "eps 32/255" in text and "eps 16/255" in text
    assert attacks(shared.get("/setups?experiment=4&trial=0").text) == attacks(text)


def test_other_bases_are_another_setup(app: FastAPI, shared: TestClient) -> None:
    with app.state.database.write() as session:
        row = session.scalars(_first().where(Trial.experiment_id == 5)).one()
        row.base_indices = [*reversed(row.base_indices or [])]
    assert "badnets" not in attacks(shared.get("/setups?experiment=2&trial=0").text)


def test_another_data_set_is_another_setup(app: FastAPI, shared: TestClient) -> None:
    with app.state.database.write() as session:
        session.get_one(Experiment, 5).dataset = "cifar10"
    assert "badnets" not in attacks(shared.get("/setups?experiment=2&trial=0").text)


def test_the_newest_of_the_same_attack_counts_and_names_the_earlier(
    app: FastAPI, shared: TestClient
) -> None:
    with app.state.database.write() as session:
        spec = session.get_one(Experiment, 2).spec
        session.get_one(Experiment, 4).spec = spec
        session.flush()
        sums.recount(session)
    text = shared.get("/setups?experiment=2&trial=0").text
    assert attacks(text).count("bullseye_polytope") == 1
    assert re.search(
        r'Trial 0 of #4</a>; earlier: <a class="num" href="/experiments/2/trials/0"', text
    )


def test_pictures_are_lazy_there_and_whole_multiples(shared: TestClient) -> None:
    text = shared.get("/setups?experiment=2&trial=0").text
    found = re.findall(r'<img class="pixels"( loading="lazy")? src="([^"]+)" width="(\d+)"', text)
    assert len(found) == 6 + 4 * (5 + 5)
    assert all(int(width) % 32 == 0 for _, _, width in found)
    assert all(lazy for lazy, _, _ in found[6:])
    for _, address, _ in found[::9]:
        assert shared.get(address).headers["cache-control"].endswith("immutable")


def test_further_attacks_are_on_further_pages(
    shared: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setups, "ROWS", 3)
    first = shared.get("/setups?experiment=2&trial=0").text
    assert len(attacks(first)) == 3
    assert "/setups?experiment=2&amp;trial=0&amp;start=3" in first
    assert attacks(shared.get("/setups?experiment=2&trial=0&start=3").text) == ["badnets"]
    assert shared.get("/setups?experiment=2&trial=0&start=300").status_code == 200


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("experiment=99&trial=0", "there is no experiment 99"),
        ("experiment=2&trial=20", "experiment 2 has no trial 20"),
        ("experiment=2&trial=2147483647", "has no trial"),
    ],
)
def test_a_missing_setup_is_a_page_with_words(shared: TestClient, query: str, said: str) -> None:
    answer = shared.get(f"/setups?{query}")
    assert answer.status_code == 404
    assert said in answer.text and "<html" in answer.text


@pytest.mark.parametrize("query", ["", "experiment=2", "experiment=x&trial=0", "trial=-1"])
def test_a_question_that_cannot_be_is_refused(shared: TestClient, query: str) -> None:
    assert shared.get(f"/setups?{query}").status_code in (400, 422)


def test_a_trial_that_is_not_done_has_no_setup_yet(shared: TestClient) -> None:
    answer = shared.get("/setups?experiment=2&trial=19")
    assert answer.status_code == 200
    assert "its setup is known once it is carried through" in answer.text


def test_html_in_a_title_is_escaped_and_nothing_is_inline(shared: TestClient) -> None:
    text = shared.get("/setups?experiment=4&trial=0").text
    assert "<b>" not in text and "&lt;b&gt;smaller" in text
    assert not re.search(r"\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", text)


def test_it_is_reached_from_a_trial(shared: TestClient) -> None:
    assert 'href="/setups?experiment=2&amp;trial=0"' in shared.get("/experiments/2/trials/0").text
    assert "/setups?" not in shared.get("/experiments/2/trials/19").text


# --- one poison closely ---------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "shown"), [("", 1), ("?poison=3", 4), ("?poison=999", 5)])
def test_one_poison_is_shown_closely(full: TestClient, asked: str, shown: int) -> None:
    text = full.get(f"/experiments/2/trials/0{asked}").text
    assert f"Poison {shown} of 5 closely" in text
    closely = text[text.index('id="closely"') :]
    kinds = re.findall(r'<img class="pixels" src="/poison-sets/[0-9a-f]+/(\w+)/(\d)\.png"', closely)
    assert kinds == [(kind, str(shown - 1)) for kind in ("base", "poison", "difference")]
    saved = re.findall(r'download="(experiment-2-trial-0-\d+-\w+\.png)"', closely)
    assert len(saved) == 3
    assert ('rel="prev"' in closely, 'rel="next"' in closely) == (shown > 1, shown < 5)


def test_without_javascript_base_and_poison_stand_side_by_side(full: TestClient) -> None:
    text = full.get("/experiments/2/trials/0").text
    slider = re.search(r'<input type="range"[^>]*>', text)
    assert slider and " hidden" in slider[0] and "aria-label" in slider[0]
    assert "is-on" not in text, "only the script lays one over the other"


def test_walking_the_poisons_fetches_only_that_part(full: TestClient) -> None:
    headers = {"HX-Request": "true", "HX-Target": "closely"}
    fragment = full.get("/experiments/2/trials/0?poison=2&zoom=2", headers=headers).text
    assert fragment.strip().startswith('<section id="closely"') and "<html" not in fragment
    assert "?poison=3&amp;zoom=2" in fragment


def test_a_trial_without_its_images_has_no_close_up(app: FastAPI, full: TestClient) -> None:
    for path in app.state.settings.artifacts_dir.rglob("*.safetensors"):
        path.unlink()
    text = full.get("/experiments/2/trials/0?poison=2").text
    assert "closely" not in re.sub(r"js/closely", "", text)
    assert full.get("/setups?experiment=2&trial=0").status_code == 200
