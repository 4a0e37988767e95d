"""A server on an empty database, and one with a few experiments in it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app import db
from app.columns import now
from app.main import create_app
from app.settings import Settings
from poisoning import params
from tests.app import rows

HTML = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
HOSTILE = '<script>alert("x")</script><b>bold</b>'


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    settings = Settings(home=tmp_path / "home", memory_mib=8000, workers=1)
    db.migrate(settings)
    return create_app(settings)


@pytest.fixture
def empty(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://127.0.0.1:8000", headers=HTML) as client:
        yield client


@pytest.fixture
def full(app: FastAPI, empty: TestClient) -> TestClient:
    settings = app.state.settings
    with app.state.database.write() as session:
        rows.ready_checkpoints(session)
        rows.launched(session, settings, params.NoPerturbation(), done=20)
        attack = params.BullseyePolytope(eps_255=32, steps=200)
        busy = rows.launched(session, settings, attack, done=8, title=HOSTILE)
        rows.worker(session, busy, now())
        rows.worker(session, None, now() - timedelta(hours=1))
        rows.launched(session, settings, params.FeatureCollision(eps_255=32), title="queued")
    return empty
