"""Differences that are shown together are multiplied alike."""

import io
import re

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from app.models import Trial
from app.web import amplify, images
from poisoning import params, poison_set
from tests.app import rows
from tests.app.web.test_setups import shared  # noqa: F401

DIFFERENCE = re.compile(r'src="(/poison-sets/[0-9a-f]{64}/difference/\d+\.png[^"]*)"')


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([("bullseye_polytope", 8)], 15),
        ([("bullseye_polytope", 8), ("unknown_by_now", 32)], 15),
        ([("bullseye_polytope", 8), ("convex_polytope", 32)], 3),
        ([("bullseye_polytope", 8), ("no_perturbation", 0), ("bullseye_polytope", None)], 15),
        ([("bullseye_polytope", 8), ("badnets", 255)], 15),
        ([("badnets", 255)], 1),
        ([("badnets", 60)], 2),
        ([], 1),
    ],
)
def test_the_largest_change_within_a_bound_decides(
    changes: list[tuple[str, int | None]], expected: int
) -> None:
    assert amplify.common(changes) == expected


def test_all_rows_of_a_setup_share_one_factor_and_say_it(
    app: FastAPI,
    shared: TestClient,  # noqa: F811
) -> None:
    with app.state.database.write() as session:
        for trial in session.query(Trial).filter_by(experiment_id=4):
            trial.linf_255 = 16
    text = shared.get("/setups?experiment=2&trial=0").text
    found = DIFFERENCE.findall(text)
    assert len(found) == 4 * 5
    assert {address.partition("?")[2] for address in found} == {"factor=3"}
    assert "amplified 3 times around grey, every row alike" in text
    assert "cut off" not in text
    with app.state.database.write() as session:
        for trial in session.query(Trial).filter_by(experiment_id=5):
            trial.linf_255 = 255  # BadNets, which has no bound
    text = shared.get("/setups?experiment=2&trial=0").text
    assert "every row alike" in text and "amplified 3 times" in text
    assert text.count("changes beyond 42/255 are cut off") == 1


def test_a_factor_can_be_asked_for_within_reason(shared: TestClient) -> None:  # noqa: F811
    base, poison, difference = re.findall(
        r'<img class="pixels"[^>]*src="([^"]+)"', shared.get("/experiments/2/trials/0").text
    )[1:4]

    def pixels(address: str) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(shared.get(address).content))).astype(int)

    change = pixels(poison) - pixels(base)
    assert (pixels(f"{difference}?factor=2") == 128 + 2 * change).all()
    assert (pixels(f"{difference}?factor=7") == np.clip(128 + 7 * change, 0, 255)).all()
    for wrong in ("0", "128", "-1", "1e3", "x"):
        assert shared.get(f"{difference}?factor={wrong}").status_code == 422


def test_a_trigger_does_not_hide_what_changed_beside_it() -> None:
    bases = np.full((2, 3, 8, 8), 100, np.uint8)
    poisons, trigger = bases + 4, np.full((3, 2, 2), 255, np.uint8)
    stamped = poisons.copy()
    stamped[..., 6:, 6:] = 255

    def factor(changed: poison_set.Pixels) -> int:
        made = poison_set.PoisonSet(
            poisons=changed, labels=np.zeros(2, np.int64), base_indices=np.arange(2),
            target=bases[:1], target_label=1, target_index=0, base_class=0, bases=bases,
            trigger=trigger, trigger_place=(6, 6),
        )  # fmt: skip
        return amplify.factor(images._largest_change(made))

    only_trigger = bases.copy()
    only_trigger[..., 6:, 6:] = 255
    assert factor(stamped) == 127 // 4
    assert factor(poisons) == 127 // 4  # the trigger stays hidden: nothing is left out
    assert factor(only_trigger) == 1


def test_compare_multiplies_all_its_pictures_alike(app: FastAPI, full: TestClient) -> None:
    """A side at 16/255 and one at 32/255 on the same setups."""
    settings = app.state.settings
    with app.state.database.write() as session:
        attack = params.BullseyePolytope(eps_255=16, steps=200)
        other = rows.launched(session, settings, attack, done=8)
        for trial in session.query(Trial).filter_by(experiment_id=other.id, state="done"):
            twin = session.query(Trial).filter_by(experiment_id=2, number=trial.number).one()
            for name in ("target_class", "target_index", "base_class", "base_indices"):
                setattr(trial, name, getattr(twin, name))
            trial.linf_255 = 16
            for outcome in trial.outcomes:
                outcome.success = False
        number = other.id
    text = full.get(f"/compare?ids=2,{number}").text
    found = DIFFERENCE.findall(text)
    assert found and {address.partition("?")[2] for address in found} == {"factor=3"}
    assert "amplified 3 times around grey; the same for all pictures on this page" in text
