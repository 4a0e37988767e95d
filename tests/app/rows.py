"""A database filled the way the services and the worker fill it, without any network trained."""

import random
import tempfile
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import update
from sqlalchemy.orm import Session

from app import models
from app.requests import LaunchRequest
from app.services import experiments, sums
from app.settings import Settings
from app.storage import Store
from poisoning import params, poison_set
from poisoning.recipes import RECIPES
from poisoning.spec import DataSpec, ExperimentSpec

AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
WHITE, BLACK = "convnet3-digits_0_4-s0", "resnet6_w16-digits_0_4-s0"
HITS = {
    "no_perturbation": (0.05, 0.05),
    "feature_collision": (0.4, 0.1),
    "bullseye_polytope": (0.9, 0.15),
    "badnets": (0.6, 0.3),
}


def spec(attack: params.Knobs, trials: int = 20, **changes: object) -> ExperimentSpec:
    is_control = isinstance(attack, params.NoPerturbation)
    return ExperimentSpec.model_validate(
        {
            "attack": attack.model_dump(),
            "surrogates": [] if is_control else [WHITE],
            "victims": [
                {"regime": "frozen", "checkpoint": WHITE},
                {"regime": "frozen", "checkpoint": BLACK, "label": "transfer"},
            ],
            "data": DataSpec(dataset="digits_5_9", train_size=500, poisons=5).model_dump(),
            "trials": trials,
            "profile": "smoke",
            **changes,
        }
    )


def ready_checkpoints(session: Session) -> None:
    """The two extractors, as if they had been trained."""
    for number, name in enumerate((WHITE, BLACK)):
        recipe = RECIPES[name]
        session.add(
            models.Checkpoint(
                name=name,
                state="ready",
                spec=recipe.model_dump(mode="json"),
                model=recipe.model,
                dataset=recipe.dataset,
                sha256=f"{number}f" * 32,
                clean_accuracy=0.98 - 0.01 * number,
                card={"test_images": 361, "seed": recipe.seed, "epochs": recipe.epochs},
                seconds=4.6,
                created_at=AT,
                finished_at=AT + timedelta(seconds=5),
            )
        )
    session.flush()


def worker(session: Session, experiment: models.Experiment | None, seen_at: datetime) -> None:
    """A worker that was heard from, busy with an experiment or idle."""
    job = experiment.jobs[0].id if experiment else None
    name = f"bench:{job or 0}:ab"
    session.add(models.Worker(id=name, host="bench", device="cpu", seen_at=seen_at, job_id=job))


def launched(
    session: Session,
    settings: Settings,
    attack: params.Knobs,
    *,
    done: int = 0,
    trials: int = 20,
    title: str = "",
) -> models.Experiment:
    """An experiment with its first ``done`` trials finished."""
    request = LaunchRequest(spec=spec(attack, trials), title=title)
    experiment = experiments.launch(session, settings, request, AT)
    finish(session, settings, experiment, done)
    return experiment


def finish(session: Session, settings: Settings, experiment: models.Experiment, done: int) -> None:
    chance = random.Random(experiment.id)
    store = Store(settings.artifacts_dir)
    for trial in list(experiment.trials)[:done]:
        fill(session, experiment, trial, chance)
        keep_poisons(session, store, trial, eps=0 if trial.linf_255 == 0 else 32)
    if not done:
        return
    is_whole = done == experiment.trials_total
    state = "done" if is_whole else "running"
    finished_at = AT + timedelta(seconds=68) if is_whole else None
    session.execute(
        update(models.Job)
        .where(models.Job.experiment_id == experiment.id)
        .values(state=state, started_at=AT, finished_at=finished_at, attempt=1, owner="bench:1:ab")
    )
    experiment.state, experiment.started_at = state, AT
    experiment.finished_at = finished_at
    session.flush()


def fill(
    session: Session, experiment: models.Experiment, trial: models.Trial, chance: random.Random
) -> None:
    is_control = experiment.attack == "no_perturbation"
    trial.state = "done"
    trial.target_class, trial.base_class = chance.sample(range(5), 2)
    trial.target_index = chance.randrange(400)
    trial.base_indices = chance.sample(range(450), 5)
    trial.craft_hash = f"{trial.id:064x}"
    trial.craft_seconds = 0.0 if is_control else 2.9
    trial.linf_255 = 0 if is_control else 32
    trial.mean_l2 = 0.0 if is_control else 2.4
    trial.ssim = 1.0 if is_control else 0.9
    trial.finished_at = AT + timedelta(seconds=3 * trial.number)
    for victim, access in enumerate(("black_box" if is_control else "white_box", "black_box")):
        twin = chance.random() < 0.05
        success = (
            twin
            if is_control
            else chance.random() < HITS.get(experiment.attack, (0.5, 0.1))[victim]
        )
        session.add(_outcome(experiment, trial, victim, access, success, twin))
    session.flush()
    sums.add(session, trial.id)


def keep_poisons(session: Session, store: Store, trial: models.Trial, eps: int) -> None:
    """A poison set of smooth bases and noise within the budget."""
    noise = np.random.default_rng(trial.id)
    y, x = np.mgrid[0:32, 0:32]
    waves = [
        [np.sin(x / (3 + j) + c + trial.id) * np.cos(y / (4 + j)) for c in range(3)]
        for j in range(5)
    ]
    bases = (128 + 90 * np.array(waves)).astype(np.uint8)
    change = noise.integers(-eps, eps + 1, bases.shape)
    assert trial.base_class is not None and trial.target_class is not None
    made = poison_set.PoisonSet(
        poisons=(bases + change).astype(np.uint8),
        labels=np.full(5, trial.base_class, np.int64),
        base_indices=np.array(trial.base_indices, np.int64),
        target=bases[:1, :, ::-1].copy(),
        target_label=trial.target_class,
        target_index=trial.target_index or 0,
        base_class=trial.base_class,
        bases=bases,
    )
    with tempfile.TemporaryDirectory() as folder:
        stored = store.put("poison_sets", poison_set.save(made, folder))
    row = models.PoisonSet(sha256=stored.sha256, images=5, size_bytes=stored.size_bytes)
    session.add(row)
    session.flush()
    trial.poison_set_id = row.id


def _outcome(
    experiment: models.Experiment,
    trial: models.Trial,
    victim: int,
    access: str,
    success: bool,
    twin: bool,
) -> models.Outcome:
    base, target = trial.base_class, trial.target_class
    return models.Outcome(
        trial_id=trial.id,
        experiment_id=experiment.id,
        victim=victim,
        access=access,
        success=success,
        prediction=base if success else target,
        confidence=0.93 if success else 0.08,
        margin=3.2 if success else -2.6,
        clean_accuracy=0.973,
        twin_success=twin,
        twin_prediction=base if twin else target,
        twin_confidence=0.52 if twin else 0.01,
        twin_margin=0.1 if twin else -4.9,
        twin_clean_accuracy=0.974,
        clean_images=446,
        seconds=1.2,
        outcome_hash=f"{trial.id:060x}{victim:04x}",
    )
