"""What a worker makes of what its batch process says, or of how it dies; no broker in here."""

import signal
from collections.abc import Callable

import pytest

from tests.worker.bench import Bench, assert_whole
from worker import child
from worker.runtime import Runtime
from worker.tasks import work

Run = Callable[[], int]


@pytest.fixture
def run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Work until there is nothing to do, with the fake child, in this process."""
    monkeypatch.setattr(child, "COMMAND", bench.child_command)
    return lambda: work(Runtime(bench.settings))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_killed_child_is_started_again_for_the_rest(bench: Bench, run: Run, number: int) -> None:
    bench.plan(crash_at=2, crash_signal=number)
    job_id = bench.add_experiment(trials=4)
    run()
    assert bench.state(job_id) == "done"
    assert bench.executed() == [0, 1, 2, 3]
    assert_whole(bench, job_id, 4)
    assert "something terrible" in bench.lines(job_id)


def test_poison_pill_stops_after_three_attempts(bench: Bench, run: Run) -> None:
    bench.plan(crash_at=1, crash_times=99, crash_signal=signal.SIGKILL)
    job_id = bench.add_experiment(trials=3)
    run()
    assert bench.state(job_id) == "failed"
    assert len(bench.children()) == 3
    assert bench.done(job_id) == [0], "what was finished is kept"
    assert bench.trial_states(job_id) == {"done", "failed"}
    error = bench.job(job_id).error
    assert error and "out of memory" in error["message"] and error["remedy"]


@pytest.mark.parametrize("reason", ["bad_input", "bad_data", "budget_broken"])
def test_what_cannot_get_better_is_not_tried_again(bench: Bench, run: Run, reason: str) -> None:
    bench.plan(fail={"reason": reason, "message": "no such folder", "field": "data.dataset"})
    job_id = bench.add_experiment()
    run()
    assert bench.state(job_id) == "failed"
    assert len(bench.children()) == 1
    error = bench.job(job_id).error
    assert error and error["field"] == "data.dataset"


def test_a_line_that_is_no_event_fails_the_batch(bench: Bench, run: Run) -> None:
    bench.plan(garble=True)
    job_id = bench.add_experiment()
    run()
    assert bench.state(job_id) == "failed"
    assert "Downloading" in bench.job(job_id).error["message"]  # type: ignore[index]
    assert not bench.is_child_alive()


def test_pretraining_becomes_a_checkpoint(bench: Bench, run: Run) -> None:
    job_id = bench.add_pretraining()
    run()
    assert bench.state(job_id) == "done"
    assert not bench.is_child_alive()


def test_batch_too_large_for_memory_is_halved(bench: Bench, run: Run) -> None:
    bench.plan(fits=2)
    job_id = bench.add_experiment(trials=8)
    run()
    assert sorted(bench.executed()) == list(range(8))
    assert bench.job_states() == {"done"}
    assert bench.job_count() == 4
    assert bench.trial_states(job_id) == {"done"}


def test_a_trial_too_large_for_memory_fails_with_its_remedy(bench: Bench, run: Run) -> None:
    bench.plan(fits=0)
    job_id = bench.add_experiment(trials=2)
    run()
    assert bench.job_states() == {"failed"}
    error = bench.job(job_id).error
    assert error and error["reason"] == "out_of_memory" and error["remedy"] == "smaller"
