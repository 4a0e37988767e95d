"""Why a victim was fooled, in words and drawn."""

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from app import models
from app.models import Outcome, Trial
from app.web import why
from poisoning.events import Explanation

TRIAL: Any = SimpleNamespace(target_name="dog", base_name="frog", number=3)
FACTS = Explanation(
    target=(-0.5, 0.0),
    bases=((0.6, 0.1), (0.5, -0.2)),
    poisons=((-0.3, 0.05), (-0.4, -0.1)),
    base_class=((0.55, 0.0), (0.7, 0.3)),
    target_class=((-0.6, 0.2), (-0.5, -0.3)),
    distance_before=1.1,
    distance_after=0.2,
    nearest_before=0.9,
    nearest_after=0.1,
    class_distance=0.7,
    margins=((1, -2.0), (2, 1.0), (3, -0.5), (4, 0.5), (5, 1.5)),
    twin_margins=((1, -2.0), (2, -3.0), (3, -3.0), (4, -3.0), (5, -3.5)),
)


def outcome(success: bool, twin_success: bool = False) -> Any:
    return SimpleNamespace(success=success, twin_success=twin_success, access="white_box")


@pytest.mark.parametrize(
    ("fooled", "twin", "changes", "said"),
    [
        (True, True, {}, "need not be the attack"),
        (True, False, {}, "nearer to it than its own class"),
        (True, False, {"class_distance": 0.1}, "pull the boundary"),
        (True, False, {"distance_after": 1.0}, "hardly came closer"),
        (False, False, {"distance_after": 1.0}, "does not carry over"),
        (False, False, {}, "keep the target"),
        (False, False, {"class_distance": 0.1}, "are closer still"),
    ],
)
def test_the_sentence_follows_from_where_the_poisons_are(
    fooled: bool, twin: bool, changes: dict[str, Any], said: str
) -> None:
    facts = FACTS.model_copy(update=changes)
    sentence = why.in_words(TRIAL, outcome(fooled, twin), facts)
    assert said in sentence
    assert f"{facts.distance_after:.2f}" in sentence and "dog" in sentence


def test_the_drawing_keeps_proportions_and_stays_in_its_box() -> None:
    plane = why.of(TRIAL, outcome(True), FACTS).plane
    places = [plane.target, *plane.base_class, *plane.target_class]
    places += [place for move in plane.moves for place in move]
    assert all(0 < x < plane.width and 0 < y < plane.height for x, y in places)
    right, left = plane.base_class[0], plane.target
    scale = (right[0] - left[0]) / (0.55 - -0.5)
    up, down = plane.target_class
    assert (down[1] - up[1]) / (0.2 - -0.3) == pytest.approx(scale, rel=0.01)
    assert right[0] > left[0] and up[1] < down[1]


def test_margins_have_zero_inside_and_the_crossing_is_the_last_one() -> None:
    margins = why.of(TRIAL, outcome(True), FACTS).margins
    assert margins is not None
    assert margins.low == -3.5 and margins.high == 1.5
    assert margins.edge < margins.zero < margins.height - margins.edge
    assert len(margins.poisoned.split()) == 5
    assert why.crossing(FACTS.margins) == 4
    assert why.crossing(FACTS.twin_margins) is None
    assert why.of(TRIAL, outcome(True), FACTS.model_copy(update={"margins": ()})).margins is None


BEFORE = FACTS.model_copy(
    update={"margins": (), "twin_margins": (), "distance_after": 1.0, "nearest_after": 0.8}
)
MOVED = FACTS.model_copy(
    update={
        "distances": ((0, 1.0), (1, 0.6), (2, 0.2)),
        "nearest": ((0, 0.8), (1, 0.4), (2, 0.1)),
        "twin_distances": ((0, 1.1), (1, 1.2), (2, 1.3)),
        "before": BEFORE,
    }
)


@pytest.mark.parametrize(
    ("distances", "said"),
    [
        (
            ((0, 1.0), (2, 0.2)),
            "Training brought the poisons there from 1.00 before training; the nearest",
        ),
        (((1, 0.1), (2, 0.2)), "Training took the poisons there from 0.10 after epoch 1"),
        (((0, 0.2), (2, 0.21)), "Training left the poisons where they were (0.20 before training)"),
    ],
)
def test_where_features_move_the_sentence_says_what_training_did(distances: Any, said: str) -> None:
    facts = MOVED.model_copy(update={"distances": distances})
    sentence = why.in_words(TRIAL, outcome(True), facts)
    assert said in sentence
    assert "from 0.80 to 0.10, the bases in its clean twin from 1.10 to 1.30." in sentence
    assert "Training" not in why.in_words(TRIAL, outcome(True), FACTS)


def test_poisons_that_training_moved_away_are_told_from_those_that_never_came_closer() -> None:
    away = {"distance_after": 1.0, "distances": ((0, 0.5), (2, 1.0))}
    near = BEFORE.model_copy(update={"distance_before": 1.1, "distance_after": 0.5})
    undone = MOVED.model_copy(update=away | {"before": near})
    assert "training undid that" in why.in_words(TRIAL, outcome(False), undone)
    never = MOVED.model_copy(update=away)
    assert "does not carry over" in why.in_words(TRIAL, outcome(False), never)


def test_distances_start_before_the_first_epoch_and_above_zero() -> None:
    shown = why.of(TRIAL, outcome(True), MOVED)
    assert shown.distances is not None and shown.before is not None
    assert (shown.distances.low, shown.distances.high) == (0.0, 1.3)
    assert (shown.distances.first, shown.distances.epochs) == (0, 2)
    for line in (shown.distances.poisoned, shown.distances.second, shown.distances.twin):
        assert line.startswith(f"{shown.distances.edge}") and len(line.split()) == 3
    still = why.of(TRIAL, outcome(True), FACTS)
    assert still.distances is None and still.before is None


def test_a_ruler_is_as_long_as_it_says() -> None:
    plane = why.of(TRIAL, outcome(True), FACTS).plane
    length, pixels = plane.ruler
    right, left = plane.base_class[0], plane.target
    assert pixels == pytest.approx(length * (right[0] - left[0]) / (0.55 - -0.5), rel=0.01)
    assert pixels < plane.width / 3


def test_the_trials_page_draws_it_where_it_is_known(full: TestClient, app: FastAPI) -> None:
    without = full.get("/experiments/2/trials/0")
    assert without.status_code == 200 and "penultimate features" not in without.text
    with app.state.database.write() as session:
        outcome = session.scalars(
            select(Outcome).join(Trial).where(Trial.experiment_id == 2, Trial.number == 0)
        ).first()
        assert outcome is not None
        outcome.explanation = models.Explanation(data=FACTS.model_dump(mode="json"))
    page = full.get("/experiments/2/trials/0").text
    assert "penultimate features" in page
    assert page.count('<polyline class="curve') == 2
    assert "target lengths" in page and "before training" not in page
    with app.state.database.write() as session:
        stored = session.scalars(select(models.Explanation)).one()
        stored.data = MOVED.model_dump(mode="json")
    page = full.get("/experiments/2/trials/0").text
    assert page.count('<polyline class="curve') == 5
    assert page.count('<svg class="plane" viewBox') == 4
    assert "Before training." in page and "Training brought the poisons there" in page
    assert "to the nearest from 0.80 to 0.10" in page
