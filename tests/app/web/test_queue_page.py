"""The queue and the list of data sets, as pages."""

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import update

from app.columns import now
from app.models import Checkpoint, Job
from poisoning import catalog, params
from tests.app import rows
from tests.app.web.conftest import HOSTILE


def test_an_empty_queue_says_what_to_do(empty: TestClient) -> None:
    text = empty.get("/queue").text
    assert "Nothing runs, nothing waits." in text and "The bench is free." in text
    assert 'href="/experiments/new"' in text


def test_the_queue_shows_what_runs_what_is_next_and_what_ended(full: TestClient) -> None:
    text = full.get("/queue").text
    running, waiting, ended = (
        text.index(f'id="{part}"') for part in ("running", "waiting", "ended")
    )
    assert running < text.index('href="/experiments/2"') < waiting
    assert waiting < text.index('href="/experiments/3"') < ended
    assert text.index('href="/experiments/1"') > ended
    assert HOSTILE not in text and "&lt;script&gt;" in text
    assert "a worker" in text[waiting:ended]


def test_a_job_that_cannot_run_names_the_checkpoint_it_waits_for(
    app: FastAPI, full: TestClient
) -> None:
    with app.state.database.write() as session:
        session.execute(
            update(Checkpoint).where(Checkpoint.name == rows.BLACK).values(state="training")
        )
    text = full.get("/queue").text
    assert f'href="/checkpoints/{rows.BLACK}"' in text[text.index('id="waiting"') :]


def test_a_failed_job_says_why_and_a_pretraining_is_named(app: FastAPI, full: TestClient) -> None:
    with app.state.database.write() as session:
        checkpoint = session.query(Checkpoint).filter_by(name=rows.WHITE).one()
        error = {"message": "the loss is <b>no number</b>", "remedy": "", "reason": "input"}
        session.add(
            Job(
                kind="pretrain",
                checkpoint_id=checkpoint.id,
                state="failed",
                error=error,
                started_at=rows.AT,
                finished_at=now(),
            )
        )
    text = full.get("/queue").text
    assert f'href="/checkpoints/{rows.WHITE}"' in text
    assert "the loss is &lt;b&gt;no number&lt;/b&gt;" in text


def test_a_queue_that_nobody_serves_says_so(app: FastAPI, empty: TestClient) -> None:
    with app.state.database.write() as session:
        rows.ready_checkpoints(session)
        rows.launched(session, app.state.settings, params.NoPerturbation())
    assert "nothing will move" in empty.get("/queue").text


def test_the_queue_is_a_fragment_for_htmx(full: TestClient) -> None:
    part = full.get("/queue", headers={"HX-Request": "true", "HX-Target": "live"}).text
    assert part.lstrip().startswith('<div id="live"') and "<html" not in part


def test_every_data_set_is_listed_with_licence_and_hash(app: FastAPI, full: TestClient) -> None:
    with app.state.database.write() as session:
        session.execute(
            update(Checkpoint)
            .where(Checkpoint.name == rows.WHITE)
            .values(card={"dataset_md5": "ab" * 16})
        )
    text = full.get("/datasets").text
    for row in catalog.DATASETS.values():
        assert f'href="/datasets/{row.name}"' in text and row.licence in text
    assert f'title="{"ab" * 16}"' in text and "not on this machine" in text
