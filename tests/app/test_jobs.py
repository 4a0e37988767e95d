"""Work is claimed once, fenced, taken back, retried a limited number of times, and cancelled."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from app.db import Database
from app.models import Checkpoint, Experiment, Job, Outcome, Trial
from app.services import experiments, jobs
from app.services.jobs import Lease, LeaseLost
from app.services.reaper import Reaper
from app.settings import Settings
from poisoning.events import Failed, Progress
from tests.app import workbench as bench

ERROR = Failed(reason="error", message="segmentation fault")
BAD_DATA = Failed(reason="bad_data", message="file is corrupt", field="data.dataset", remedy="x")


def state_of(database: Database, experiment_id: int) -> str:
    with database.read() as session:
        return session.get_one(Experiment, experiment_id).state


def trial_states(database: Database, experiment_id: int) -> list[str]:
    with database.read() as session:
        rows = select(Trial.state).where(Trial.experiment_id == experiment_id)
        return list(session.scalars(rows.order_by(Trial.number)))


@pytest.fixture
def ready(database: Database, settings: Settings) -> Iterator[Database]:
    """Both checkpoints are there."""
    bench.launch(database, settings, trials=1)
    bench.work_off(database)
    yield database


def test_an_experiment_waits_for_its_checkpoints_then_runs(
    database: Database, settings: Settings
) -> None:
    number = bench.launch(database, settings)
    assert state_of(database, number) == "waiting"
    first, second = bench.must_claim(database), bench.must_claim(database)
    assert [first.kind, second.kind] == ["pretrain", "pretrain"]
    assert bench.claim(database) is None
    bench.pretrain(database, first)
    assert state_of(database, number) == "waiting"
    bench.pretrain(database, second)
    assert state_of(database, number) == "queued"
    claimed = bench.must_claim(database)
    assert claimed.indices == (0, 1, 2, 3)
    assert set(claimed.checkpoints) == {bench.WHITE, bench.BLACK}
    assert state_of(database, number) == "running"
    for index in claimed.indices:
        assert bench.record(database, claimed.lease, bench.trial_done(claimed, index))
    assert bench.finish(database, claimed.lease) == "done"
    assert state_of(database, number) == "done"


def test_a_pretraining_is_claimed_before_older_trials(ready: Database, settings: Settings) -> None:
    bench.launch(ready, settings)
    other = "resnet6_w16-digits_0_4-s1"
    bench.launch(
        ready, settings, surrogates=[other], victims=[{"regime": "frozen", "checkpoint": other}]
    )
    assert bench.must_claim(ready).name == other


def test_no_job_is_claimed_twice_by_many_threads(ready: Database, settings: Settings) -> None:
    for seed in range(30):
        bench.launch(ready, settings, trials=1, seed=seed)

    def take(worker: int) -> list[int]:
        taken = []
        while (claimed := bench.claim(ready, f"w{worker}")) is not None:
            taken.append(claimed.lease.job_id)
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = [job for found in pool.map(take, range(8)) for job in found]
    assert len(taken) == 30
    assert len(set(taken)) == 30


def test_a_trial_reported_twice_stands_once(ready: Database, settings: Settings) -> None:
    number = bench.launch(ready, settings)
    claimed = bench.must_claim(ready)
    done = bench.trial_done(claimed, 2)
    assert bench.record(ready, claimed.lease, done)
    assert not bench.record(ready, claimed.lease, done)
    with ready.read() as session:
        rows = session.scalars(select(Outcome).where(Outcome.experiment_id == number)).all()
    assert len(rows) == 2


def test_a_zombie_cannot_write_after_its_job_was_taken_back(
    ready: Database, settings: Settings
) -> None:
    bench.launch(ready, settings)
    zombie = bench.must_claim(ready, "w1")
    with ready.write() as session:
        assert jobs.requeue(session, "w1", bench.AT) == [zombie.lease.job_id]
    heir = bench.must_claim(ready, "w2")
    assert heir.lease.attempt == zombie.lease.attempt + 1
    with pytest.raises(LeaseLost):
        bench.record(ready, zombie.lease, bench.trial_done(zombie, 0))
    with pytest.raises(LeaseLost):
        bench.finish(ready, zombie.lease)
    with pytest.raises(LeaseLost), ready.write() as session:
        jobs.heartbeat(session, zombie.lease, None, bench.AT, bench.LEASE_S)
    with pytest.raises(LeaseLost), ready.write() as session:
        jobs.fail(session, zombie.lease, ERROR, bench.AT)
    assert bench.record(ready, heir.lease, bench.trial_done(heir, 0))


def test_an_attempt_with_a_wrong_owner_is_fenced(ready: Database, settings: Settings) -> None:
    bench.launch(ready, settings)
    lease = bench.must_claim(ready).lease
    with pytest.raises(LeaseLost):
        bench.finish(ready, Lease(lease.job_id, lease.attempt, "somebody else"))


def test_the_next_attempt_is_told_only_what_is_not_done(
    ready: Database, settings: Settings
) -> None:
    number = bench.launch(ready, settings)
    claimed = bench.must_claim(ready)
    bench.record(ready, claimed.lease, bench.trial_done(claimed, 1))
    with ready.write() as session:
        jobs.requeue(session, "w1", bench.AT)
    assert trial_states(ready, number) == ["queued", "done", "queued", "queued"]
    assert bench.must_claim(ready, "w2").indices == (0, 2, 3)


def test_a_job_that_always_dies_fails_after_three_attempts(
    ready: Database, settings: Settings
) -> None:
    number = bench.launch(ready, settings)
    ends = []
    for _ in range(3):
        lease = bench.must_claim(ready).lease
        with ready.write() as session:
            ends.append(jobs.fail(session, lease, ERROR, bench.AT))
    assert ends == ["queued", "queued", "failed"]
    assert state_of(ready, number) == "failed"
    assert trial_states(ready, number) == ["failed"] * 4
    with ready.read() as session:
        assert session.get_one(Experiment, number).error == "segmentation fault"


def test_a_finished_trial_resets_the_count_of_deaths(ready: Database, settings: Settings) -> None:
    bench.launch(ready, settings)
    for index in range(4):
        claimed = bench.must_claim(ready)
        bench.record(ready, claimed.lease, bench.trial_done(claimed, index))
        with ready.write() as session:
            assert jobs.requeue(session, "w1", bench.AT)
    claimed = bench.must_claim(ready)
    assert claimed.indices == ()
    assert bench.finish(ready, claimed.lease) == "done"


def test_bad_data_is_not_tried_again(ready: Database, settings: Settings) -> None:
    number = bench.launch(ready, settings)
    lease = bench.must_claim(ready).lease
    with ready.write() as session:
        assert jobs.fail(session, lease, BAD_DATA, bench.AT) == "failed"
        job = session.get_one(Job, lease.job_id)
        assert job.error is not None and job.error["field"] == "data.dataset"
    assert state_of(ready, number) == "failed"


def test_a_child_that_ends_early_has_not_finished(ready: Database, settings: Settings) -> None:
    bench.launch(ready, settings)
    claimed = bench.must_claim(ready)
    bench.record(ready, claimed.lease, bench.trial_done(claimed, 0))
    assert bench.finish(ready, claimed.lease) == "queued"


def test_a_failed_pretraining_fails_who_waits_for_it(
    database: Database, settings: Settings
) -> None:
    number = bench.launch(database, settings)
    lease = bench.must_claim(database).lease
    with database.write() as session:
        assert jobs.fail(session, lease, BAD_DATA, bench.AT) == "failed"
        row = session.get_one(Experiment, number)
        assert row.state == "failed"
        assert row.error is not None
        assert row.error.startswith(f"checkpoint {bench.WHITE} is not there: file is corrupt; ")
    with database.write() as session:
        experiments.retry(session, settings, number, bench.AT)
        assert {c.state for c in session.scalars(select(Checkpoint))} == {"queued"}
    bench.work_off(database)
    assert state_of(database, number) == "done"


def test_a_heartbeat_writes_progress_and_learns_of_a_cancellation(
    ready: Database, settings: Settings
) -> None:
    number = bench.launch(ready, settings)
    lease = bench.must_claim(ready).lease
    progress = Progress(stage="craft", done=3, total=9, unit="steps")
    with ready.write() as session:
        assert not jobs.heartbeat(session, lease, progress, bench.AT, bench.LEASE_S)
        assert session.get_one(Job, lease.job_id).progress is not None
    with ready.write() as session:
        experiments.cancel(session, number, bench.AT)
    assert state_of(ready, number) == "running"
    with ready.write() as session:
        assert jobs.heartbeat(session, lease, None, bench.AT, bench.LEASE_S)
        jobs.confirm_ended(session, lease, bench.AT)
    assert state_of(ready, number) == "cancelled"


def test_a_queued_experiment_is_cancelled_at_once_and_can_be_retried(
    ready: Database, settings: Settings
) -> None:
    number = bench.launch(ready, settings)
    with ready.write() as session:
        experiments.cancel(session, number, bench.AT)
    assert state_of(ready, number) == "cancelled"
    assert bench.claim(ready) is None
    with ready.write() as session:
        experiments.retry(session, settings, number, bench.AT)
    assert state_of(ready, number) == "queued"
    bench.work_off(ready)
    assert state_of(ready, number) == "done"


def test_a_retry_keeps_the_finished_trials(ready: Database, settings: Settings) -> None:
    number = bench.launch(ready, settings)
    claimed = bench.must_claim(ready)
    bench.record(ready, claimed.lease, bench.trial_done(claimed, 3))
    with ready.write() as session:
        experiments.cancel(session, number, bench.AT)
        jobs.confirm_ended(session, claimed.lease, bench.AT)
    assert trial_states(ready, number) == ["cancelled"] * 3 + ["done"]
    with ready.write() as session:
        experiments.retry(session, settings, number, bench.AT)
    assert bench.must_claim(ready).indices == (0, 1, 2)


def test_a_dead_worker_of_a_cancelled_job_ends_it(ready: Database, settings: Settings) -> None:
    number = bench.launch(ready, settings)
    bench.must_claim(ready)
    with ready.write() as session:
        experiments.cancel(session, number, bench.AT)
        jobs.requeue(session, "w1", bench.AT)
    assert state_of(ready, number) == "cancelled"


def test_an_orderly_stop_costs_no_attempt(ready: Database, settings: Settings) -> None:
    bench.launch(ready, settings)
    for _ in range(jobs.MAX_FAILURES + 1):
        lease = bench.must_claim(ready).lease
        with ready.write() as session:
            assert jobs.release(session, lease, bench.AT) == "queued"


def test_the_reaper_goes_by_heartbeats_and_its_own_clock(
    ready: Database, settings: Settings
) -> None:
    bench.launch(ready, settings)
    lease = bench.must_claim(ready).lease
    reaper = Reaper(lease_s=10)

    def sweep(monotonic: float) -> list[int]:
        with ready.write() as session:
            return reaper.sweep(session, bench.AT, monotonic)

    assert sweep(100) == []
    assert sweep(109) == []
    with ready.write() as session:
        jobs.heartbeat(session, lease, None, bench.AT, bench.LEASE_S)
    assert sweep(111) == []
    assert sweep(120) == []
    assert sweep(121) == [lease.job_id]
    assert sweep(122) == []
    assert bench.must_claim(ready, "w2").lease.attempt == lease.attempt + 1


def test_two_batches_of_one_experiment_run_side_by_side(
    ready: Database, settings: Settings
) -> None:
    slow = {"name": "bullseye_polytope", "eps_255": 32, "steps": 100_000}
    number = bench.launch(ready, settings, attack=slow)
    first, second = bench.must_claim(ready, "w1"), bench.must_claim(ready, "w2")
    assert set(first.indices).isdisjoint(second.indices)
    for index in first.indices:
        bench.record(ready, first.lease, bench.trial_done(first, index))
    assert bench.finish(ready, first.lease) == "done"
    assert state_of(ready, number) == "running"
