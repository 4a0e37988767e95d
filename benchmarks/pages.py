"""How long the pages take on a full database: 10,000 experiments, 100,000 trials, 200,000 outcomes.

python -m benchmarks.pages [--experiments 10000] [--repeats 30]

Fills a SQLite database of its own with made-up outcomes (nothing is crafted or trained), then asks
the application for each page in this process and prints a table of milliseconds in Markdown.
"""

import argparse
import math
import os
import platform
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app import db, models, places
from app.main import create_app
from app.services import studies, sums
from app.settings import Settings
from poisoning.recipes import RECIPES
from poisoning.spec import ExperimentSpec, digest

AT = datetime(2026, 1, 1, tzinfo=UTC)
SEEDS, TRIALS = 5, 10  # of each spec; of each experiment
WHITE, BLACK = "convnet3-digits_0_4-s0", "resnet6_w16-digits_0_4-s0"
ATTACKS = ("no_perturbation", "feature_collision", "convex_polytope", "bullseye_polytope")
CHUNK = 5000
Made = Mapping[int, dict[str, Any]] | Sequence[dict[str, Any]]  # specs, by number of experiment
LIMIT_MS = 200
PAGES = {
    "first page": "/",
    "experiments, pooled over seeds": "/experiments",
    "experiments, a row each": "/experiments?group=no",
    "experiments, by success": "/experiments?sort=success",
    "experiments, filtered": "/experiments?attack=bullseye_polytope&access=white_box&least=20",
    "experiments, by text": "/experiments?text=experiment+99",
    "experiments, by tag": "/experiments?tag=table+3",
    "an experiment": "/experiments/77",
    "a trial": "/experiments/77/trials/3",
    "new experiment": "/experiments/new",
    "leaderboard": "/leaderboard",
    "compare": "/compare?ids=1,6",
    "attacks": "/attacks",
    "an attack": "/attacks/bullseye_polytope",
    "a setup under every attack": "/setups?experiment=77&trial=3",
    "studies": "/studies",
    "a study with its tables": "/studies/1",
    "checkpoints": "/checkpoints",
    "a checkpoint": f"/checkpoints/{WHITE}",
    "data sets": "/datasets",
    "a data set": "/datasets/digits_5_9",
    "workers": "/workers",
    "queue": "/queue",
    "tokens": "/tokens",
    "sweeps": "/sweeps",
    "experiments, JSON": "/api/v1/experiments",
    "a leaderboard, JSON": "/api/v1/leaderboards/{board}",
    "titles of leaderboards, JSON": "/api/v1/leaderboards/titles",
}
# everything at once: no page, and held to no limit
WHOLE = {
    "every leaderboard whole, JSON": "/api/v1/leaderboards",
    "experiments pooled over seeds, CSV": "/experiments?format=csv",
    "every experiment, CSV": "/experiments?group=no&format=csv",
}


def specs() -> Iterator[dict[str, Any]]:
    """Specs that differ, each with its seeds one after the other."""
    victims = [{"regime": "frozen", "checkpoint": name} for name in (WHITE, BLACK)]
    data = product(("smoke", "quick", "paper"), (250, 500), (1, 2, 5, 10, 20), (True, False))
    for profile, size, poisons, normalize in data:
        for attack, eps in product(ATTACKS, (2, 4, 8, 12, 16, 24, 32, 48, 64, 96)):
            is_control = attack == "no_perturbation"
            if is_control and eps > 2:
                continue
            whole = ExperimentSpec.model_validate(
                {
                    "attack": {"name": attack} | ({} if is_control else {"eps_255": eps}),
                    "surrogates": [] if is_control else [WHITE],
                    "victims": victims,
                    "data": {
                        "dataset": "digits_5_9",
                        "train_size": size,
                        "poisons": poisons,
                        "normalize": normalize,
                    },
                    "trials": TRIALS,
                    "profile": profile,
                }
            ).model_dump(mode="json")
            for seed in range(SEEDS):
                yield whole | {"seed": seed}


def fill(session: Session, settings: Settings, count: int) -> None:
    """Rows as the worker would have left them, in bulk; and one study, launched and done."""
    _checkpoints(session)
    chance = random.Random(0)
    made = list(islice(specs(), count))
    made += [spec | {"seed": 1000 + at} for at, spec in enumerate(made[: count - len(made)])]
    while len(made) < count:
        made += [
            spec | {"seed": len(made) + at} for at, spec in enumerate(made[: count - len(made)])
        ]
    _insert(session, models.Experiment, (_experiment(n, s) for n, s in enumerate(made, 1)))
    _insert(session, models.Job, (_job(n) for n in range(1, count + 1)))
    uses = product(range(1, count + 1), (1, 2))
    _insert(session, models.ExperimentCheckpoint, (_use(n, which) for n, which in uses))
    numbers = range(count * TRIALS)
    _insert(session, models.Trial, (_trial(at, made, chance) for at in numbers))
    outcomes = (_outcome(at, victim, made, chance) for at in numbers for victim in (0, 1))
    _insert(session, models.Outcome, outcomes)
    _study(session, settings, chance)
    sums.recount(session)


def _study(session: Session, settings: Settings, chance: random.Random) -> None:
    study = studies.launch(session, settings, "demonstration", "quick", AT)
    outcomes = []
    for experiment in session.scalars(select(models.Experiment).filter_by(study_id=study.id)):
        experiment.state = "done"
        for trial in experiment.trials:
            made = {trial.number // TRIALS: experiment.spec}
            values = _trial(trial.number, made, chance)
            for name in values.keys() - {"id", "experiment_id", "job_id", "number"}:
                setattr(trial, name, values[name])
            for victim in range(len(experiment.spec["victims"])):
                outcome = _outcome(trial.number, victim, made, chance)
                ids = {"trial_id": trial.id, "experiment_id": experiment.id}
                outcomes.append(outcome | ids | {"outcome_hash": f"{trial.id:060x}{victim:04x}"})
    session.flush()
    _insert(session, models.Outcome, outcomes)


def _insert(session: Session, table: Any, rows: Iterable[dict[str, Any]]) -> None:
    rest = iter(rows)
    while chunk := list(islice(rest, CHUNK)):
        session.execute(insert(table), chunk)


def _checkpoints(session: Session) -> None:
    for name in (WHITE, BLACK):
        recipe = RECIPES[name]
        session.add(
            models.Checkpoint(name=name, state="ready", model=recipe.model, dataset=recipe.dataset)
        )
    session.flush()


def _experiment(number: int, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": number,
        "title": f"{spec['attack']['name']}, experiment {number}",
        "notes": "",
        "state": "done",
        "spec": spec,
        "spec_hash": digest(spec),
        "series": places.series(spec),
        "regimes": places.regimes(spec),
        "attack": spec["attack"]["name"],
        "dataset": spec["data"]["dataset"],
        "profile": spec["profile"],
        "precision": spec["precision"],
        "trials_total": TRIALS,
        "tags": ["table 3"] if number % 50 == 0 else [],
        "created_at": AT + timedelta(minutes=number),
        "started_at": AT + timedelta(minutes=number),
        "finished_at": AT + timedelta(minutes=number + 1),
    }


def _job(number: int) -> dict[str, Any]:
    ended = AT + timedelta(minutes=number + 1)
    done = {"state": "done", "started_at": ended, "finished_at": ended}
    return {"id": number, "kind": "trials", "experiment_id": number, **done}


def _use(experiment: int, checkpoint: int) -> dict[str, Any]:
    return {"experiment_id": experiment, "checkpoint_id": checkpoint}


def _trial(at: int, made: Made, chance: random.Random) -> dict[str, Any]:
    spec = made[at // TRIALS]
    setup = random.Random(spec["seed"] * 1000 + at % TRIALS)  # the same for every attack
    target, base = setup.sample(range(5), 2)
    return {
        "id": at + 1,
        "experiment_id": at // TRIALS + 1,
        "job_id": at // TRIALS + 1,
        "number": at % TRIALS,
        "state": "done",
        "target_class": target,
        "target_index": setup.randrange(400),
        "base_class": base,
        "base_indices": setup.sample(range(450), spec["data"]["poisons"]),
        "craft_hash": f"{at:064x}",
        "craft_seconds": 1 + chance.random(),
        "linf_255": 8,
        "mean_l2": 2.4,
        "ssim": 0.9,
        "final_loss": 0.1,
    }


def _outcome(at: int, victim: int, made: Made, chance: random.Random) -> dict[str, Any]:
    success = chance.random() < 0.2 + 0.1 * ATTACKS.index(made[at // TRIALS]["attack"]["name"])
    twin = chance.random() < 0.05
    return {
        "trial_id": at + 1,
        "experiment_id": at // TRIALS + 1,
        "victim": victim,
        "access": "black_box" if victim else "white_box",
        "success": success,
        "prediction": 0,
        "confidence": chance.random(),
        "margin": 0.0,
        "clean_accuracy": 0.97,
        "twin_success": twin,
        "twin_prediction": 0,
        "twin_confidence": 0.1,
        "twin_margin": 0.0,
        "twin_clean_accuracy": 0.97,
        "clean_images": 446,
        "seconds": 1.0,
        "outcome_hash": f"{2 * at + victim:064x}",
    }


@dataclass(frozen=True)
class Taken:
    """Milliseconds of one page: on the clock, and of the processor (p50 over the same repeats),
    which other work on the machine does not lengthen. The first request warms caches.
    """

    p50: float
    p95: float
    cpu: float
    first: float


def measure(client: TestClient, path: str, repeats: int) -> Taken:
    clock, processor = [], []
    for _ in range(repeats + 1):
        start, spent = time.perf_counter(), time.process_time()
        answer = client.get(path, headers={"Accept": "text/html"})
        clock.append(1000 * (time.perf_counter() - start))
        processor.append(1000 * (time.process_time() - spent))
        answer.raise_for_status()
    first, *rest = clock
    p95 = statistics.quantiles(rest, n=20)[-1]
    return Taken(statistics.median(rest), p95, statistics.median(processor[1:]), first)


def table(client: TestClient, pages: dict[str, str], repeats: int, limit_ms: float) -> list[str]:
    """Print a line of Markdown for each page; those that take longer than the limit."""
    slow = []
    for name, path in pages.items():
        took = measure(client, path, repeats)
        figures = (took.p50, took.p95, took.cpu, took.first)
        print(f"| {name} |", " | ".join(f"{figure:.0f}" for figure in figures), "|", flush=True)
        if took.p50 > limit_ms:
            slow.append(name)
    return slow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=30)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(_env_file=None, home=Path(home), memory_mib=8192)
        db.migrate(settings)
        database = db.open_database(settings)
        with database.write() as session:
            fill(session, settings, wanted.experiments)
            keys = select(models.OutcomeSum.board_key).distinct()
            boards = sorted(session.scalars(keys).all())
        now, load = datetime.now(UTC), os.getloadavg()[0]
        print(f"{now:%Y-%m-%d}; {processor()}, {os.cpu_count()} cores; load {load:.1f}; ", end="")
        print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}; ", end="")
        print(f"{wanted.experiments:,} experiments, {TRIALS * wanted.experiments:,} trials of two ")
        print(f"victims, {len(boards)} boards; n = {wanted.repeats}\n")
        print("| page | p50 ms | p95 ms | processor p50 ms | first ms |\n|---|---|---|---|---|")
        pages = {name: path.format(board=boards[0]) for name, path in PAGES.items()}
        with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
            slow = table(client, pages, wanted.repeats, LIMIT_MS)
            table(client, WHOLE, max(3, wanted.repeats // 5), math.inf)
        database.close()
    if slow:
        raise SystemExit(f"slower than {LIMIT_MS} ms: {', '.join(slow)}")


def processor() -> str:
    """What the machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "not known"


if __name__ == "__main__":
    main()
