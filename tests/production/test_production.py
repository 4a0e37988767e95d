"""The production form, started by hand: two URLs, several workers, and what may fail among them."""

import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import queue
from app.client import Client
from tests.production.conftest import Stack
from tests.production.servers import Dosimeter
from tests.worker.bench import Bench, assert_whole, wait_until

pytestmark = pytest.mark.production
EXTRACTOR = "convnet3-digits_0_4-s0"
SPEC: dict[str, Any] = {
    "attack": {"name": "no_perturbation"},
    "victims": [{"regime": "frozen", "checkpoint": EXTRACTOR}],
    "data": {"dataset": "digits_5_9", "train_size": 500, "poisons": 5},
    "trials": 6,
    "profile": "smoke",
}


def test_an_experiment_survives_the_loss_of_a_worker_and_of_redis(
    stack: Stack, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    product = Dosimeter(home, stack.database_url, stack.broker_url)
    try:
        assert product.start("migrate").wait(timeout=60) == 0
        product.processes.clear()
        product.start("serve")
        product.start("worker")
        product.start("worker")
        wait_until(lambda: _is_ready(product.url), 60)
        with Client(product.url) as bench:
            wait_until(lambda: len(_workers(bench)) == 2, 30)
            number = bench.launch(SPEC)["id"]
            wait_until(lambda: _owner(bench), 30)
            os.kill(int(_owner(bench).split(":")[1]), signal.SIGKILL)  # mid-way
            stack.redis.kill()
            stack.redis.start()
            found = bench.wait(number, timeout_s=120, poll_s=0.5)
            trials = list(bench.trials(number))
        assert found["state"] == "done", found["error"]
        assert [trial["number"] for trial in trials] == list(range(6))
        assert all(len(trial["outcomes"]) == 1 for trial in trials)
        assert product.stop() == [0, 0, 0]
    finally:
        product.stop()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _workers(bench: Client) -> list[Any]:
    found: list[Any] = bench._get("/workers")
    return found


def _owner(bench: Client) -> str:
    """Who runs a job now; empty: nobody."""
    for job in bench._get("/jobs", {"state": "running"})["items"]:
        return str(job["owner"])
    return ""


def test_redis_gone_costs_seconds(stack: Stack, bench: Bench) -> None:
    bench.start_worker()
    wait_until(lambda: bench.workers())
    stack.redis.kill()
    job_id = bench.add_experiment()
    assert not queue.notify(bench.settings), "and says so, instead of failing"
    wait_until(lambda: bench.state(job_id) == "done", 15)
    stack.redis.start()
    other = bench.add_experiment()
    wait_until(lambda: bench.state(other) == "done", 15)
    assert_whole(bench, job_id, 4)
    assert_whole(bench, other, 4)


def test_restart_of_postgresql_does_not_end_a_training(stack: Stack, bench: Bench) -> None:
    bench.plan(gate_at=2, gate="open")
    job_id = bench.add_experiment()
    bench.start_worker(lease_s=30)
    wait_until(lambda: bench.done(job_id) == [0, 1])
    stack.postgres.kill()
    (bench.marks / "open").touch()  # the child goes on, and reports to nobody
    wait_until(lambda: bench.executed() == [0, 1, 2, 3], 10)
    stack.postgres.start()
    wait_until(lambda: _finds_done(bench, job_id), 20)
    assert bench.job(job_id).attempt == 1, "the same child, its results written later"
    assert_whole(bench, job_id, 4)


def _finds_done(bench: Bench, job_id: int) -> bool:
    from sqlalchemy.exc import OperationalError

    try:
        return bench.state(job_id) == "done"
    except OperationalError:
        return False


def test_killed_worker_on_postgresql_loses_no_finished_trial(bench: Bench) -> None:
    bench.plan(gate_at=2, gate="open")
    job_id = bench.add_experiment()
    first = bench.start_worker()
    wait_until(lambda: bench.done(job_id) == [0, 1])
    bench.start_worker()
    first.kill()
    wait_until(lambda: bench.job(job_id).attempt == 2, 3 + 15)  # the lease, and no more than 15 s
    (bench.marks / "open").touch()
    wait_until(lambda: bench.state(job_id) == "done")
    assert bench.executed() == [0, 1, 2, 3]
    assert_whole(bench, job_id, 4)


def test_duplicate_messages_execute_once(bench: Bench) -> None:
    jobs = [bench.add_experiment(trials=2) for _ in range(3)]
    for _ in range(9):
        assert queue.notify(bench.settings)
    bench.start_worker()
    bench.start_worker()
    wait_until(lambda: bench.job_states() == {"done"})
    assert sorted(bench.executed()) == [0, 0, 0, 1, 1, 1]
    for job_id in jobs:
        assert_whole(bench, job_id, 2)
        assert bench.job(job_id).attempt == 1
