"""Default deny: every route has a policy, every write comes from here, tokens do what they say."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy import text
from starlette.routing import Mount

from app import auth
from app.columns import now
from app.db import Database
from app.main import create_app
from app.services import tokens
from app.settings import Settings
from tests.app import workbench as bench

API = "/api/v1"
PUBLIC = {"/healthz", "/readyz", "/login", "/logout"}


def routes(container: Any) -> Iterator[APIRoute | Mount]:
    """All routes, of included routers too."""
    for route in container.routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from routes(inner)
        else:
            yield route


@pytest.fixture
def network(settings: Settings, database: Database) -> FastAPI:
    """A server that other machines can reach."""
    reachable = settings.model_copy(update={"host": "0.0.0.0"})
    return create_app(reachable)


@pytest.fixture
def secrets(database: Database) -> dict[str, str]:
    """A token of each scope, an expired and a revoked one."""
    made = {}
    with database.write() as session:
        for scope in tokens.SCOPES:
            made[scope] = tokens.create(session, scope, [scope], now())[1]
        made["expired"] = tokens.create(
            session, "old", ["admin"], now() - timedelta(days=2), days=1
        )[1]
        token, made["revoked"] = tokens.create(session, "gone", ["admin"], now())
        tokens.revoke(session, token.prefix, now())
    return made


@pytest.fixture
def far(network: FastAPI, secrets: dict[str, str]) -> Iterator[TestClient]:
    with TestClient(network, base_url="http://bench.example") as opened:
        yield opened


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


# --- every route has a policy -------------------------------------------------------------------


def test_only_these_routes_are_public_and_no_write_needs_less_than_submit(
    application: FastAPI,
) -> None:
    found = list(routes(application))
    assert len(found) > 40
    for route in found:
        if isinstance(route, Mount):
            assert route.path == "/static"
            continue
        assert isinstance(route, APIRoute), f"{route!r} is not under the authorising dependency"
        for method in route.methods:
            policy = auth.policy_of(route.endpoint, method)
            assert (policy == "public") == (route.path in PUBLIC), route.path
            if method not in ("GET", "HEAD", "OPTIONS") and route.path not in PUBLIC:
                assert policy in ("submit", "admin"), route.path


def test_every_route_refuses_a_stranger(network: FastAPI, far: TestClient) -> None:
    tried = 0
    for route in routes(network):
        if isinstance(route, Mount) or route.path in PUBLIC:
            continue
        path = route.path
        for name in route.param_convertors:
            path = path.replace("{" + name + "}", "1")
        for prefix in ("", API):  # an included router's routes do not know their prefix
            for method in route.methods:
                answer = far.request(
                    method, prefix + path, json={}, headers={"Origin": "http://bench.example"}
                )
                assert answer.status_code in (401, 404, 405), (method, prefix + path)
                tried += answer.status_code == 401
    assert tried > 40


# --- tokens -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "reading", "writing"),
    [
        ("read", 200, 403),
        ("submit", 200, 202),
        ("admin", 200, 202),
        ("expired", 401, 401),
        ("revoked", 401, 401),
    ],
)
def test_scopes(
    far: TestClient, secrets: dict[str, str], scope: str, reading: int, writing: int
) -> None:
    headers = bearer(secrets[scope])
    assert far.get(f"{API}/experiments", headers=headers).status_code == reading
    body = {"spec": bench.raw_spec()}
    launched = far.post(f"{API}/experiments", json=body, headers=headers)
    assert launched.status_code == writing


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer x", "Basic dGVzdDp0ZXN0", "Bearer dosimeter_{p}_guess"]
)
def test_a_wrong_token_is_401_and_says_how(
    far: TestClient, secrets: dict[str, str], header: str
) -> None:
    given = header.format(p=secrets["admin"].split("_")[1])
    answer = far.get(f"{API}/experiments", headers={"Authorization": given} if given else {})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "dosimeter token create" in answer.json()["detail"]


def test_the_database_holds_no_usable_token(database: Database, secrets: dict[str, str]) -> None:
    with database.read() as session:
        kept = str(session.execute(text("SELECT * FROM tokens")).all())
    assert not any(secret.split("_", 2)[2] in kept for secret in secrets.values())


def test_two_callers_do_not_share_idempotency_keys(
    far: TestClient, secrets: dict[str, str]
) -> None:
    body = {"spec": bench.raw_spec()}
    ids = [
        far.post(
            f"{API}/experiments",
            json=body,
            headers=bearer(secrets[scope]) | {"Idempotency-Key": "same"},
        ).json()["id"]
        for scope in ("submit", "admin", "submit")
    ]
    assert ids[0] != ids[1]
    assert ids[0] == ids[2]


def test_a_network_server_without_tokens_does_not_start(network: FastAPI) -> None:
    with pytest.raises(auth.NoTokens, match="dosimeter token create"), TestClient(network):
        pass


# --- browsers -----------------------------------------------------------------------------------


def test_a_browser_signs_in_and_out(far: TestClient, secrets: dict[str, str]) -> None:
    page = {"Accept": "text/html", "Origin": "http://bench.example"}
    stranger = far.get("/experiments", headers=page, follow_redirects=False)
    assert (stranger.status_code, stranger.headers["location"]) == (
        303,
        "/login?next=/experiments",
    )
    wrong = far.post("/login", data={"token": "x"}, headers=page)
    assert wrong.status_code == 401
    form = {"token": secrets["submit"], "next": "//evil.example"}
    signed = far.post("/login", data=form, headers=page, follow_redirects=False)
    assert (signed.status_code, signed.headers["location"]) == (303, "/")
    cookie = signed.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie
    assert far.get("/experiments", headers=page).status_code == 200
    body = {"spec": bench.raw_spec()}
    assert far.post(f"{API}/experiments", json=body).status_code == 401  # not our own page
    assert far.post(f"{API}/experiments", json=body, headers=page).status_code == 202
    far.post("/logout", headers=page, follow_redirects=False)
    assert far.get("/experiments", headers=page, follow_redirects=False).status_code == 303


CROSS = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "https://127.0.0.1:9999"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8000"},
]


@pytest.mark.parametrize("headers", CROSS, ids=[str(c) for c in CROSS])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_page_of_another_site_cannot_write(
    client: TestClient, method: str, headers: dict[str, str]
) -> None:
    answer = client.request(
        method, f"{API}/experiments", json={"spec": bench.raw_spec()}, headers=headers
    )
    assert answer.status_code == 403


def test_a_form_without_a_word_about_its_origin_is_refused(client: TestClient) -> None:
    url = f"{API}/experiments/1/cancel"
    assert client.post(url, data={"a": "b"}).status_code == 403
    assert client.post(url, content=b"x", headers={"Content-Type": "text/plain"}).status_code == 403
    assert client.post(url).status_code == 404
    own = {"Origin": "http://127.0.0.1:8000"}
    assert client.post(url, data={"a": "b"}, headers=own).status_code == 404
    assert client.post(url, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil"])
def test_another_host_name_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000"])
def test_the_names_of_this_machine_are_answered_to(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_every_answer_has_the_security_headers(client: TestClient) -> None:
    for path in ("/healthz", f"{API}/nothing", "/", "/static/nothing"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff", path
        assert "referrer-policy" in headers, path
