"""A worker whose experiment stops early: its batch is ended within a heartbeat, dead or alive."""

import pytest
from sqlalchemy import select, update

from app.models import Experiment, Job, Trial
from tests.worker.bench import Bench, wait_until
from worker import child
from worker.runtime import Runtime
from worker.tasks import work

TRIALS, TRIAL_S = 200, 0.1


def stopping_experiment(bench: Bench) -> int:
    """So many trials, every other one a success, to be stopped at 80 points; its job's id."""
    job_id = bench.add_experiment(trials=TRIALS)
    with bench.database.write() as session:
        session.execute(update(Experiment).values(stop_width=0.8, is_sequential=True))
    return job_id


def outcome_of(bench: Bench) -> tuple[str, str, list[str]]:
    """States of the experiment, of its job and of its trials."""
    with bench.database.read() as session:
        trials = list(session.scalars(select(Trial.state).order_by(Trial.number)))
        [job], [experiment] = session.scalars(select(Job)), session.scalars(select(Experiment))
        return experiment.state, job.state, trials


def assert_stopped(bench: Bench) -> None:
    experiment, job, trials = outcome_of(bench)
    done = trials.count("done")
    assert (experiment, job) == ("done", "skipped")
    assert 5 < done < TRIALS / 2
    assert trials == ["done"] * done + ["skipped"] * (TRIALS - done)
    assert len(bench.executed()) < TRIALS / 2  # the child went with it


def test_the_running_batch_is_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "COMMAND", bench.child_command)
    bench.plan(trial_s=TRIAL_S)
    stopping_experiment(bench)
    assert work(Runtime(bench.settings)) == 1
    assert_stopped(bench)
    assert work(Runtime(bench.settings)) == 0


def test_a_worker_killed_as_it_stops_leaves_nothing_to_run(bench: Bench) -> None:
    """With a heartbeat of a minute it does not hear of the stop before it is killed."""
    bench.plan(trial_s=TRIAL_S)
    stopping_experiment(bench)
    first = bench.start_worker(heartbeat_s=60, lease_s=120)

    def has_stopped() -> bool:
        with bench.database.read() as session:
            return session.scalar(select(Experiment.stopped_at)) is not None

    wait_until(has_stopped, 30)
    assert outcome_of(bench)[1] == "running"
    first.kill()
    first.wait()
    bench.start_worker()
    wait_until(lambda: outcome_of(bench)[0] == "done", 30)
    assert_stopped(bench)
