"""Every fault ends the same: finished trials kept, none counted twice, no process left over."""

import os
import signal
import time

import pytest

from app import queue
from tests.worker.bench import Bench, assert_whole, is_alive, wait_until


def test_a_job_is_executed_by_the_celery_task_of_that_name(bench: Bench) -> None:
    job_id = bench.add_experiment()
    assert queue.notify(bench.settings)
    bench.start_worker(poll_s=30)  # the poller has looked before, and then sleeps
    wait_until(lambda: bench.state(job_id) == "done")
    wait_until(lambda: f"Task {queue.TASK}" in bench.log() and "succeeded" in bench.log())
    assert_whole(bench, job_id, 4)
    assert not (bench.settings.work_dir / f"job-{job_id}").exists()


def test_a_lost_message_costs_seconds(bench: Bench) -> None:
    job_id = bench.add_experiment()  # and nobody is told
    bench.start_worker()
    wait_until(lambda: bench.state(job_id) == "done")
    assert_whole(bench, job_id, 4)


def test_work_is_done_while_the_broker_is_away(bench: Bench) -> None:
    job_id = bench.add_experiment()
    bench.start_worker(broker_url="redis://127.0.0.1:1/0")
    wait_until(lambda: bench.state(job_id) == "done")
    assert "working without the broker" in bench.log()
    assert_whole(bench, job_id, 4)


def test_duplicate_wake_ups_and_two_workers_execute_each_trial_once(bench: Bench) -> None:
    bench.plan(trial_s=0.1)
    job_ids = [bench.add_experiment(trials=3) for _ in range(3)]
    for _ in range(9):
        queue.notify(bench.settings)
    bench.start_worker()
    bench.start_worker()
    wait_until(lambda: all(bench.state(job_id) == "done" for job_id in job_ids))
    for job_id in job_ids:
        assert_whole(bench, job_id, 3)
        assert bench.job(job_id).attempt == 1
    assert sorted(bench.executed()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_killed_worker_loses_no_finished_trial(bench: Bench) -> None:
    bench.plan(gate_at=2, gate="open")
    job_id = bench.add_experiment(trials=4)
    worker = bench.start_worker()
    wait_until(lambda: bench.done(job_id) == [0, 1])
    worker.kill()
    wait_until(lambda: not bench.is_child_alive(), 2)  # its stdin closed
    (bench.marks / "open").touch()
    bench.start_worker()
    wait_until(lambda: bench.state(job_id) == "done")
    assert bench.executed() == [0, 1, 2, 3], "only the rest was executed again"
    assert bench.job(job_id).attempt == 2
    assert_whole(bench, job_id, 4)


def test_zombie_worker_is_fenced(bench: Bench) -> None:
    bench.plan(gate_at=1, gate="open")
    job_id = bench.add_experiment(trials=3)
    zombie = bench.start_worker()
    wait_until(lambda: bench.done(job_id) == [0])
    os.kill(zombie.pid, signal.SIGSTOP)  # its child runs on
    bench.start_worker()
    wait_until(lambda: bench.job(job_id).attempt == 2)  # lease over, taken by the other
    (bench.marks / "open").touch()
    wait_until(lambda: bench.state(job_id) == "done")
    os.kill(zombie.pid, signal.SIGCONT)
    wait_until(lambda: "lease lost" in bench.log())
    assert_whole(bench, job_id, 3)
    assert zombie.poll() is None, "a fenced worker works on"


def test_worker_told_to_stop_hands_its_job_back(bench: Bench) -> None:
    bench.plan(gate_at=2, gate="open")
    job_id = bench.add_experiment(trials=4)
    worker = bench.start_worker()
    wait_until(lambda: bench.done(job_id) == [0, 1])
    worker.terminate()
    assert worker.wait(timeout=8) == 0
    job = bench.job(job_id)
    assert (job.state, job.failures, job.owner) == ("queued", 0, None)
    assert bench.trial_states(job_id) == {"done", "queued"}
    assert not bench.is_child_alive()
    assert bench.workers() == [], "its row is gone"
    (bench.marks / "open").touch()
    bench.start_worker()
    wait_until(lambda: bench.state(job_id) == "done")
    assert bench.executed() == [0, 1, 2, 3]
    assert_whole(bench, job_id, 4)


@pytest.mark.parametrize("is_deaf", [False, True], ids=["well-behaved", "ignores SIGTERM"])
def test_cancelled_while_running_is_gone_within_five_seconds(bench: Bench, is_deaf: bool) -> None:
    bench.plan(gate_at=1, gate="never", is_deaf=is_deaf)
    job_id = bench.add_experiment(trials=3)
    bench.start_worker(heartbeat_s=2)  # as in production
    wait_until(lambda: bench.done(job_id) == [0])
    bench.cancel(job_id)
    wait_until(lambda: bench.state(job_id) == "cancelled", 5)
    assert not bench.is_child_alive(), "gone before it is called cancelled"
    assert bench.trial_states(job_id) == {"done", "cancelled"}
    assert bench.outcomes(job_id) == [0]


def test_cancelled_while_queued_is_never_started(bench: Bench) -> None:
    job_id = bench.add_experiment()
    bench.cancel(job_id)
    assert bench.state(job_id) == "cancelled"
    other = bench.add_experiment()
    bench.start_worker()
    wait_until(lambda: bench.state(other) == "done")
    assert len(bench.children()) == 1


def test_cancelled_while_finishing_has_one_answer(bench: Bench) -> None:
    job_id = bench.add_experiment(trials=1)
    bench.start_worker()
    wait_until(lambda: bench.state(job_id) == "running")
    bench.cancel(job_id)
    wait_until(lambda: bench.state(job_id) in ("done", "cancelled"), 5)
    final, trials = bench.state(job_id), bench.trial_states(job_id)
    time.sleep(0.5)
    assert bench.state(job_id) == final
    assert trials == {"done"} if final == "done" else trials <= {"done", "cancelled"}
    assert bench.outcomes(job_id) == bench.done(job_id)


def test_child_of_a_killed_worker_does_not_outlive_it(bench: Bench) -> None:
    bench.plan(gate_at=0, gate="never", is_deaf=True)
    bench.add_experiment()
    worker = bench.start_worker()
    wait_until(lambda: bench.children() and is_alive(bench.children()[0]))
    worker.kill()
    wait_until(lambda: not bench.is_child_alive(), 2)
