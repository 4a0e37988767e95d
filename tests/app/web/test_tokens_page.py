"""API tokens made, seen and revoked in a browser."""

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.columns import now
from app.main import create_app
from app.services import tokens
from tests.app.web.conftest import HOSTILE, HTML

SECRET = re.compile(r"dosimeter_[0-9a-f]{12}_[\w-]{40,}")


def make(client: TestClient, **typed: str) -> str:
    return client.post("/tokens", data=typed).text


def test_a_token_is_shown_once_and_works(app: FastAPI, empty: TestClient) -> None:
    assert "No token yet." in empty.get("/tokens").text
    answer = empty.post("/tokens", data={"name": "a script", "scope": "read", "days": "30"})
    assert answer.headers["cache-control"] == "no-store"
    secret = SECRET.search(answer.text)
    assert secret and f"export DOSIMETER_URL=http://127.0.0.1:8000 DOSIMETER_TOKEN={secret[0]}" in (
        answer.text
    )
    later = empty.get("/tokens").text
    assert "a script" in later and not SECRET.search(later)
    with app.state.database.read() as session:
        known = tokens.verify(session, secret[0], now())
        assert known is not None and known.scopes == ["read"] and known.expires_at is not None


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"name": ""}, "1 to 80 characters"),
        ({"name": "x" * 81}, "1 to 80 characters"),
        ({"name": "two\nlines"}, "1 to 80 characters"),
        ({"name": "x", "days": "0"}, "1 to 3650 days"),
        ({"name": "x", "days": "²"}, "1 to 3650 days"),
        ({"name": "x", "days": "soon"}, "1 to 3650 days"),
        ({"name": "x", "scope": "root"}, "no scope"),
    ],
)
def test_what_is_typed_wrongly_is_refused_and_kept(
    empty: TestClient, typed: dict[str, str], said: str
) -> None:
    answer = empty.post("/tokens", data=typed)
    assert answer.status_code == 422 and said in answer.text
    assert not SECRET.search(answer.text)
    assert "No token yet." in answer.text


def test_sending_the_form_again_makes_no_second_token(empty: TestClient) -> None:
    make(empty, name="twice")
    again = make(empty, name="twice")
    assert "is that of a valid token" in again and not SECRET.search(again)


def test_a_revoked_token_is_useless_and_its_name_free(app: FastAPI, empty: TestClient) -> None:
    secret = SECRET.search(make(empty, name=HOSTILE))
    assert secret
    page = empty.get("/tokens").text
    assert HOSTILE not in page
    path = re.search(r'action="(/tokens/[0-9a-f]+/revoke)"', page)
    assert path and empty.post(path[1]).status_code == 200
    assert "revoked" in empty.get("/tokens").text
    with app.state.database.read() as session:
        assert tokens.verify(session, secret[0], now()) is None
    assert SECRET.search(make(empty, name=HOSTILE))
    assert empty.post("/tokens/unheard-of/revoke").status_code == 404


# --- on a server that other machines reach --------------------------------------------------------


@pytest.fixture
def secrets(app: FastAPI) -> dict[str, str]:
    with app.state.database.write() as session:
        return {scope: tokens.create(session, scope, [scope], now())[1] for scope in tokens.SCOPES}


@pytest.fixture
def far(app: FastAPI, secrets: dict[str, str]) -> Iterator[TestClient]:
    reachable = app.state.settings.model_copy(update={"host": "0.0.0.0"})
    with TestClient(create_app(reachable), base_url="http://bench.example", headers=HTML) as client:
        yield client


@pytest.mark.parametrize("scope", ["read", "submit"])
def test_only_an_admin_sees_or_makes_tokens(
    far: TestClient, secrets: dict[str, str], scope: str
) -> None:
    bearer = {"Authorization": f"Bearer {secrets[scope]}"}
    assert far.get("/tokens", headers=bearer).status_code == 403
    assert far.post("/tokens", data={"name": "mine"}, headers=bearer).status_code == 403
    assert far.post("/tokens/abc/revoke", headers=bearer).status_code == 403


def test_an_admin_makes_tokens_and_can_sign_out(far: TestClient, secrets: dict[str, str]) -> None:
    bearer = {"Authorization": f"Bearer {secrets['admin']}"}
    text = far.get("/tokens", headers=bearer).text
    assert 'action="/logout"' in text and "3 tokens are valid." in text
    made = far.post("/tokens", data={"name": "mine", "scope": "submit"}, headers=bearer).text
    secret = SECRET.search(made)
    assert secret and f"DOSIMETER_URL=http://bench.example DOSIMETER_TOKEN={secret[0]}" in made
    own = {"Authorization": f"Bearer {secret[0]}"}
    assert far.get("/experiments", headers=own).status_code == 200
