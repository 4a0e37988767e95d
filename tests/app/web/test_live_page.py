"""The page of an experiment while it runs: stages, curves, rates so far, newest poisons."""

import re
from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app import models
from app.models import Job, JobStage, Trial
from app.services import curves
from app.services.curves import Course
from app.web import drawings
from tests.app import rows


def course(
    stage: str, done: int, victim: int = 0, seconds: float = 10.0, **values: float
) -> Course:
    points = {name: [(0.1, 4 * value, 1), (done / 100, value, 1)] for name, value in values.items()}
    return Course(stage, victim, done, 100, "steps", seconds, done / 100, points)


@pytest.fixture
def watched(app: FastAPI, full: TestClient) -> TestClient:
    """Experiment 2, 8 of 20 trials done, with its one batch half crafted."""
    with app.state.database.write() as session:
        job = session.scalar(select(Job).where(Job.experiment_id == 2))
        job.owner = session.scalar(select(models.Worker.id).where(models.Worker.job_id == job.id))
        job.progress = {"stage": "craft", "done": 50, "total": 100, "unit": "steps", "detail": ""}
        job.provenance = {"device": "cuda:0 (a card)"}
        curves.keep(
            session,
            job.id,
            [
                course("craft", 50, loss=0.25),
                course("victims", 40, victim=0, seconds=4.0, loss=0.01, twin_loss=0.02),
            ],
        )
    return full


def text_of(client: TestClient, path: str = "/experiments/2") -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.text)


def test_stages_tell_how_far_and_how_long(watched: TestClient) -> None:
    stages = {s["name"]: s for s in watched.get("/api/v1/experiments/2").json()["stages"]}
    craft, victims = stages["craft"], stages["victims"]
    assert (craft["done"], craft["total"], craft["share"]) == (10, 20, 0.5)
    assert craft["eta_s"] == pytest.approx(10.0), "10 s for one half, so 10 s for the other"
    assert victims["eta_s"] is None, "the second victim was never trained"
    assert "10 of 20 trials" in text_of(watched) and "about 10 s left" in text_of(watched)


def test_curves_are_drawn_and_said_in_words(watched: TestClient) -> None:
    text = text_of(watched)
    assert "Objective of crafting" in text
    assert "It went from 1 to 0.25, at 50 % of the stage." in text
    assert "from 0.04 to 0.01, the twins&#39; from 0.08 to 0.02, at 40 % of the stage." in text
    assert "Training loss, ConvNet-3, frozen" in text
    drawn = re.findall(r'<svg class="plane".*?</svg>', text)
    assert len(drawn) == 4 and all('role="img" aria-label="' in one for one in drawn)


def test_the_interval_narrows_trial_by_trial(watched: TestClient) -> None:
    text = text_of(watched)
    said = re.search(r"White-box ConvNet-3, frozen: after 8 trials ([\d.]+) %, 95 % interval", text)
    found = watched.get("/api/v1/experiments/2").json()["victims"][0]["success"]
    assert said and float(said[1]) == pytest.approx(100 * found["rate"], abs=0.05)
    band = re.search(r'<polygon points="([^"]+)"', text)
    assert band
    ys = [float(pair.split(",")[1]) for pair in band[1].split()]
    upper, lower = ys[:8], ys[8:][::-1]
    heights = [b - a for a, b in zip(upper, lower, strict=True)]
    assert heights[-1] < heights[0]


def test_the_newest_poisons_come_first(app: FastAPI, watched: TestClient) -> None:
    with app.state.database.write() as session:
        session.execute(
            update(Trial)
            .where(Trial.experiment_id == 2, Trial.number == 3)
            .values(finished_at=rows.AT + timedelta(hours=1))
        )
    text = text_of(watched)
    assert re.findall(r'id="newest-(\d+)"', text) == ["3", "7", "6", "5", "4", "2"]
    pictures = re.findall(r'src="(/poison-sets/[^"]+/poison/0\.png)"', text)
    assert len(pictures) == 6 and watched.get(pictures[0]).status_code == 200


def test_it_says_who_is_on_it_and_on_what(watched: TestClient) -> None:
    assert "bench works at it, on cuda:0 (a card)" in text_of(watched)


def test_a_cancellation_is_seen_before_it_is_obeyed(watched: TestClient) -> None:
    assert ">Cancel</button>" in text_of(watched)
    watched.post("/experiments/2/cancel")
    text = text_of(watched)
    assert "disabled>Cancelling …</button>" in text and ">Cancel</button>" not in text


def test_the_page_reads_whole_without_javascript(watched: TestClient) -> None:
    text = text_of(watched)
    assert '<noscript><meta http-equiv="refresh"' in text and "Reload now" in text
    for what in ("Crafting poisons", "Victims", "So far", "Newest poisons", "Trials", "Log"):
        assert what in text
    ended = text_of(watched, "/experiments/1")
    assert "http-equiv" not in ended and "How it went" in ended


def test_html_in_what_a_worker_says_is_escaped(app: FastAPI, watched: TestClient) -> None:
    with app.state.database.write() as session:
        session.execute(update(Job).values(provenance={"device": "<i>card</i>"}))
        session.execute(update(models.Worker).values(host="<i>host</i>"))
    text = text_of(watched)
    assert "<i>" not in text and "&lt;i&gt;host&lt;/i&gt; works at it" in text


def test_a_failed_batch_with_odd_curves_still_has_a_page(app: FastAPI, watched: TestClient) -> None:
    with app.state.database.write() as session:
        for row in session.scalars(select(JobStage)):
            row.curves = {"loss": [[0.5, -1.0, 1]], "twin_loss": []}
    assert "It went from −1 to −1" in text_of(watched)


def test_small_and_large_values_share_a_drawing_on_a_log_scale() -> None:
    place = drawings._scale(1e-4, 1.0, True)
    ys = [float(place((0.0, value, 1)).split(",")[1]) for value in (1.0, 1e-2, 1e-4)]
    assert ys[1] == pytest.approx((ys[0] + ys[2]) / 2)
    assert ys[0] == drawings.TOP and ys[2] == drawings.HEIGHT - drawings.EDGE
