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
    assert "target lengths" in page
