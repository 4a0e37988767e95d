"""Beyond the verdict on one target: patched pictures, patched rates, transformed targets."""

import dataclasses
import io
import re

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from app import models
from app.queries import extras as queries
from app.storage import Store
from poisoning import params, poison_set
from poisoning.events import Extras
from tests.app import rows

PLACE, SIZE = (26, 24), 4


@pytest.fixture
def backdoor(app: FastAPI, full: TestClient) -> str:
    """The address of a backdoor's experiment of two trials: one victim fooled, one not."""
    settings = app.state.settings
    with app.state.database.write() as session:
        made = rows.launched(session, settings, params.BadNets(patch_size=SIZE), trials=2, done=2)
        for trial in made.trials:
            _stamp(session, app.state.store, trial)
            for outcome in trial.outcomes:
                _tell(trial, outcome)
        return f"/experiments/{made.id}"


def _tell(trial: models.Trial, outcome: models.Outcome) -> None:
    """Fooled in every trial; in trial 0 still when flipped; 30 and 50 of 200 patched images."""
    base, target = trial.base_class or 0, trial.target_class or 0
    outcome.success, outcome.prediction = True, base
    outcome.extras = Extras(
        variants={"flip": target if trial.number else base, "left_2": base},
        twin_variants={"flip": target},
        patched_images=200,
        patched_hits=50 if trial.number else 30,
        twin_patched_hits=2,
    ).model_dump(mode="json", exclude_defaults=True)


def _stamp(session: rows.Session, store: Store, trial: models.Trial) -> None:
    assert trial.poison_set is not None
    stored = poison_set.load(store.path("poison_sets", trial.poison_set.sha256))
    trigger = np.zeros((3, SIZE, SIZE), np.uint8)
    trigger[0] = 255
    stamped = dataclasses.replace(stored, trigger=trigger, trigger_place=PLACE)
    path = poison_set.save(stamped, store.path("poison_sets", trial.poison_set.sha256).parent)
    trial.poison_set.sha256 = store.put("poison_sets", path).sha256
    session.flush()


def test_the_target_is_shown_without_and_with_its_trigger(full: TestClient, backdoor: str) -> None:
    text = full.get(f"{backdoor}/trials/0").text
    sources = re.findall(r'<img class="pixels" src="(/poison-sets/[^"]+/0.png)"', text)
    target, patched = (
        np.asarray(Image.open(io.BytesIO(full.get(address).content))) for address in sources[:2]
    )
    (row, column) = PLACE
    changed = (target != patched).any(-1)
    assert (patched[row : row + SIZE, column : column + SIZE] == (255, 0, 0)).all()
    changed[row : row + SIZE, column : column + SIZE] = False
    assert not changed.any()
    assert "the patched target" in text


def test_a_trial_says_how_many_patched_images_and_moved_targets_fool_it(
    full: TestClient, backdoor: str
) -> None:
    text = re.sub(r"<[^>]+>|\s+", " ", full.get(f"{backdoor}/trials/0").text)
    text = re.sub(r"\s+", " ", text)
    assert "fooled on this image: yes" in text and "on all 200 patched test images" in text
    assert "15.0&nbsp;%" in text and "Its clean twin: 1.0&nbsp;%" in text
    assert "Flipped" in text and "2 px left" in text and "its clean twin" in text
    plain = full.get("/experiments/2/trials/0").text
    assert "Beyond this one image" not in plain


def test_an_experiment_sums_up_what_its_victims_were_asked(
    app: FastAPI, full: TestClient, backdoor: str
) -> None:
    with app.state.database.read() as session:
        experiment = session.get_one(models.Experiment, int(backdoor.rpartition("/")[2]))
        found = queries.by_victim(session, experiment)
        assert queries.by_victim(session, session.get_one(models.Experiment, 2)) == []
    assert [extra.victim for extra in found] == [0, 1]
    assert found[0].patched_rate == pytest.approx((30 + 50) / 2 / 200)
    assert found[0].patched_error == pytest.approx(0.05)  # half of what lies between two trials
    assert found[0].twin_patched_rate == pytest.approx(0.01)
    assert (found[0].survives["flip"].successes, found[0].survives["flip"].n) == (1, 2)
    text = full.get(backdoor).text
    assert ">flipped</th>" in text and "1 of 2; 95 % interval" in text and "20.0&nbsp;%" in text
    answer = full.get(f"/api/v1{backdoor}").json()
    assert answer["extras"][0]["survives"]["flip"]["n"] == 2
