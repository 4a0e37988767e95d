"""How far gradient matching got, in words and drawn, where that is what an attack does."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.models import Experiment, JobStage, Trial
from app.queries.curves import Crafting
from app.web import alignment
from poisoning import params

KNOBS = {"restarts": 2, "augment": True}
POINTS = [(0.25, 0.9, 1), (0.5, 0.4, 1), (0.75, 1.1, 1), (1.0, 0.3, 1)]


def trial(final_loss: float | None) -> Any:
    return SimpleNamespace(final_loss=final_loss, base_name="frog")


def test_it_is_for_attacks_whose_objective_is_one_minus_a_cosine() -> None:
    assert alignment.is_measured("witches_brew")
    assert not alignment.is_measured("bullseye_polytope")
    assert not alignment.is_measured("an attack of old")
    assert alignment.of(trial(None), KNOBS, Crafting(1, POINTS)) is None


@pytest.mark.parametrize(
    ("loss", "said"),
    [(0.0, "is 1.000"), (0.5, "60° away"), (1.0, "90° away"), (1.25, "is −0.250"), (2.5, "180°")],
)
def test_the_sentence_says_the_cosine_and_its_angle(loss: float, said: str) -> None:
    found = alignment.of(trial(loss), KNOBS, Crafting(1, []))
    assert found is not None and said in found.sentence and "frog" in found.sentence
    assert found.course == "" and found.lines == []


def test_the_curve_is_one_minus_the_loss_inside_its_box() -> None:
    found = alignment.of(trial(0.35), KNOBS, Crafting(4, POINTS))
    assert found is not None
    assert (found.high, found.low) == (pytest.approx(0.7), pytest.approx(-0.1))
    (line,) = found.lines
    places = [tuple(map(float, place.split(","))) for place in line.split()]
    xs, ys = zip(*places, strict=True)
    assert list(xs) == sorted(xs) and xs[-1] == found.box.right
    assert ys[-1] == min(ys) == found.box.top, "the best alignment is the highest point"
    assert ys[2] == max(ys) == found.box.bottom
    assert found.box.top < found.end < found.zero < found.box.bottom
    assert "from 0.100 to 0.700" in found.course
    assert "4 trials" in found.course and "2 random starts" in found.course
    alone = alignment.of(trial(0.35), {}, Crafting(1, POINTS))
    assert alone is not None and "this trial" in alone.course and "start" not in alone.course


def test_the_trials_page_has_it_for_this_attack_alone(app: FastAPI, full: TestClient) -> None:
    with app.state.database.write() as session:
        made, knobs = session.get_one(Experiment, 2), params.WitchesBrew(restarts=2).model_dump()
        made.attack, made.spec = "witches_brew", made.spec | {"attack": knobs}
        for one in session.query(Trial).filter_by(state="done"):
            one.final_loss = 0.4
        job = session.query(Trial).filter_by(experiment_id=2, number=0).one().job_id
        session.add(
            JobStage(
                job_id=job, stage="craft", victim=0, done=40, total=40, unit="steps",
                seconds=1.0, measured=1.0, curves={"loss": POINTS},
            )
        )  # fmt: skip
    text = full.get("/experiments/2/trials/0").text
    assert "Gradient alignment" in text and "is 0.600" in text and "from 0.100 to 0.700" in text
    assert len(re.findall(r'<polyline class="curve" points="[\d., ]+"', text)) == 1
    other = full.get("/experiments/1/trials/0").text
    assert "Gradient alignment" not in other and '<h2 id="why">' not in other
