"""How many jobs a machine runs at once, where nobody said so; and that they share it."""

import os
from pathlib import Path

import pytest

from app import machine
from app.db import Database
from app.services import estimate
from app.settings import Settings
from tests.app import workbench as bench


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine of two cores with memory and without a GPU, wherever this runs."""
    monkeypatch.setattr(machine, "cores", lambda: 2)
    monkeypatch.setattr(machine, "available_mib", lambda: 8000.0)
    monkeypatch.setattr(machine, "has_gpu", lambda: False)
    monkeypatch.chdir(tmp_path)  # without a .env


def workers(**settings: object) -> int:
    return Settings(_env_file=None, **settings).workers  # type: ignore[arg-type]


@pytest.mark.usefixtures("large")
def test_two_jobs_run_at_once_where_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert workers() == workers(device="cpu") == workers(threads=1) == 2
    monkeypatch.setenv("DOSIMETER_WORKERS", "")
    assert Settings().workers == 2
    first, second = (Settings().of_worker(number) for number in range(2))
    assert first.threads == second.threads == 1


@pytest.mark.usefixtures("large")
def test_what_is_set_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert workers(workers=1) == 1
    assert workers(workers=5) == 5
    assert workers(threads=2) == 1, "both cores are one worker's"
    assert workers(memory_mib=4000) == 1
    assert workers(broker_url="redis://x") == 1
    monkeypatch.setenv("DOSIMETER_WORKERS", "3")
    assert Settings().workers == 3


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    ("what", "value"), [("cores", 1), ("available_mib", 3000.0), ("has_gpu", True)]
)
def test_one_job_at_a_time_where_the_machine_has_no_more(
    monkeypatch: pytest.MonkeyPatch, what: str, value: float
) -> None:
    monkeypatch.setattr(machine, what, lambda: value)
    assert workers() == 1
    assert workers(device="cuda") == 1


def test_the_machine_is_asked_without_torch() -> None:
    assert 1 <= machine.cores() <= (os.cpu_count() or 1)
    assert machine.available_mib() > 0
    assert machine.nvidia_gpus() == 0 or machine.has_gpu()


def test_long_experiments_are_cut_so_that_both_workers_have_work(
    database: Database, settings: Settings
) -> None:
    one = settings.model_copy(update={"workers": 1, "threads": 1})
    two = settings.model_copy(update={"workers": 2, "threads": 1})
    scratch = {"regime": "from_scratch", "model": "convnet3", "recipe": {"epochs": 40}}
    many = bench.spec(victims=[scratch], trials=30)
    with database.read() as session:
        small = estimate.plan(session, two, bench.spec(trials=4))
        alone, both = (estimate.estimate(session, each, many) for each in (one, two))
        plan = estimate.plan(session, two, many)
    assert len(small) == 1, "not worth another process"
    assert alone.batches == 1 and both.batches == len(plan) == 2
    assert both.craft_seconds == pytest.approx(alone.craft_seconds / 2)
    assert both.seconds < alone.seconds


def test_workers_share_the_memory_but_one_trial_may_have_all_of_it(
    database: Database, settings: Settings
) -> None:
    spec = bench.spec(victims=[{"regime": "frozen", "checkpoint": "convnet3-digits_0_4-s0"}])
    with database.read() as session:
        cost = estimate.costs.of_experiment(session, settings, spec)
    room = int(cost.shared_mib + 9 * cost.trial_mib) + 1
    one = settings.model_copy(update={"workers": 1, "memory_mib": room})
    two = settings.model_copy(update={"workers": 2, "memory_mib": room})
    assert estimate.batch_size(one, cost) > estimate.batch_size(two, cost) == 1
