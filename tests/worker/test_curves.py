"""What is kept of a stage: few points, the last one, in order; and how fast it went."""

import itertools

import pytest

from poisoning.events import Progress
from worker.curves import MOST, Courses, Curve


def said(stage: str, done: int, total: int = 100, **values: float) -> Progress:
    victim = int(values.pop("victim", 0)) if "victim" in values else None
    return Progress.model_validate(
        {
            "stage": stage,
            "done": done,
            "total": total,
            "unit": "steps",
            "victim": victim,
            "values": values,
        }
    )


@pytest.mark.parametrize("steps", [1, 2, MOST - 1, MOST, MOST + 1, 777, 10_000])
def test_a_curve_is_bounded_keeps_its_last_point_and_never_goes_back(steps: int) -> None:
    curve = Curve()
    for step in range(1, steps + 1):
        curve.add(step / steps, 1 / step, is_new_run=False)
        assert len(curve.points) <= MOST
        assert curve.points[-1][:2] == (round(step / steps, 5), float(f"{1 / step:.5g}"))
    shares = [share for share, _, _ in curve.points]
    assert shares == sorted(set(shares))
    assert shares[0] == round(1 / steps, 5), "the first point stays"
    assert len(curve.points) >= min(steps, MOST // 2)
    gaps = [b - a for a, b in itertools.pairwise(shares[:-1])]
    assert not gaps or max(gaps) <= min(gaps) + 2e-5, "evenly thinned"


def test_a_share_passed_before_is_passed_anew() -> None:
    curve = Curve()
    for share in (0.2, 0.4, 0.6, 0.3, 0.5):
        curve.add(share, share, is_new_run=False)
    assert [point[0] for point in curve.points] == [0.2, 0.3, 0.5]


def test_a_curve_is_broken_where_something_else_was_reported() -> None:
    courses = Courses()
    for event in (
        said("craft", 10, loss=3.0),
        said("craft", 20, loss=2.0),
        said("victims", 10, victim=0, loss=1.0, twin_loss=1.5),
        said("victims", 10, victim=1, loss=0.5),
        said("victims", 20, victim=1, twin_loss=0.4),
        said("victims", 30, victim=1, loss=0.3),
        said("craft", 30, loss=3.5),
    ):
        courses.add(event, 0.0)
    found = {(c.stage, c.victim): c.curves for c in courses.take()}
    runs = {key: {n: [p[2] for p in ps] for n, ps in its.items()} for key, its in found.items()}
    assert runs == {
        ("craft", 0): {"loss": [1, 1, 2]},
        ("victims", 0): {"loss": [1], "twin_loss": [1]},
        ("victims", 1): {"loss": [1, 2], "twin_loss": [1]},
    }
    assert courses.take() == [], "what was taken is not written again"


def test_the_pace_is_that_of_the_stage_alone() -> None:
    courses = Courses()
    for at, event in (
        (0.0, said("load", 0)),
        (5.0, said("craft", 10)),
        (7.0, said("craft", 30)),
        (20.0, said("victims", 50, victim=0)),
        (21.0, said("victims", 100, victim=0)),
        (30.0, said("craft", 40)),
        (32.0, said("craft", 60)),
    ):
        courses.add(event, at)
    craft, victims = courses.take()
    assert (craft.seconds, craft.measured) == (4.0, pytest.approx(0.4))
    assert (victims.seconds, victims.measured) == (1.0, pytest.approx(0.5))
    assert (craft.done, craft.total, craft.unit) == (60, 100, "steps")


def test_what_is_no_number_is_not_kept() -> None:
    courses = Courses()
    courses.add(said("craft", 1, loss=float("nan"), other=1.0), 0.0)
    assert list(courses.take()[0].curves) == ["other"]
