"""Experiments that stop when their intervals are narrow enough, and those that are extended."""

from itertools import count

import pytest
from sqlalchemy import func, select

from app.db import Database
from app.errors import Conflict, Invalid
from app.models import Experiment, Job, Outcome, OutcomeSum, Trial
from app.queries import experiments as queries
from app.schemas import ExperimentDetail
from app.services import experiments, extending, jobs, results, sums
from app.services.jobs import Claim
from app.settings import Settings
from app.storage import Stored
from poisoning import stats
from poisoning.events import Failed
from poisoning.spec import ExperimentSpec, spec_hash
from tests.app import workbench as bench

WIDTH = 0.5
ONE_VICTIM = [{"regime": "frozen", "checkpoint": bench.WHITE}]


@pytest.fixture
def ready(database: Database, settings: Settings) -> Database:
    """A database whose extractors are trained."""
    number = bench.launch(database, settings, trials=1)
    bench.work_off(database)
    with database.write() as session:
        assert session.get_one(Experiment, number).state == "done"
    return database


def batches_of(settings: Settings, size: int) -> Settings:
    """Settings under which a trial is so dear that batches have about so many."""
    return settings.model_copy(update={"batch_seconds": 0.9 * size})


def one_by_one(settings: Settings) -> Settings:
    return settings.model_copy(update={"batch_seconds": 0.001})


def detail(database: Database, number: int) -> ExperimentDetail:
    with database.read() as session:
        return queries.get(session, number, bench.AT)


def trial_states(database: Database, number: int) -> list[str]:
    with database.read() as session:
        its = select(Trial.state).where(Trial.experiment_id == number).order_by(Trial.number)
        return list(session.scalars(its))


def job_states(database: Database, number: int) -> list[str]:
    with database.read() as session:
        its = select(Job.state).where(Job.experiment_id == number).order_by(Job.id)
        return list(session.scalars(its))


def is_to_end(database: Database, claimed: Claim) -> bool:
    with database.write() as session:
        return jobs.heartbeat(session, claimed.lease, None, bench.AT, bench.LEASE_S)


def end(database: Database, claimed: Claim) -> str:
    with database.write() as session:
        return jobs.confirm_ended(session, claimed.lease, bench.AT)


def judged_apart(claimed: Claim, index: int, verdicts: tuple[bool, ...]) -> object:
    """A trial whose victims are not all fooled alike."""
    done = bench.trial_done(claimed, index)
    outcomes = tuple(
        outcome.model_copy(update={"success": verdict})
        for outcome, verdict in zip(done.outcomes, verdicts, strict=True)
    )
    return done.model_copy(update={"outcomes": outcomes})


def stops_at(verdicts: list[bool], width: float) -> int:
    """Where looking at the confidence sequence after every trial stops."""
    for n in count(1):
        if stats.is_narrow_enough(sum(verdicts[:n]), n, width):
            return n
    raise AssertionError


def run_until_stopped(database: Database, verdicts: list[bool]) -> Claim:
    """One worker that asks after every trial, whatever it claims; the job that stopped."""
    while (claimed := bench.claim(database)) is not None:
        for index in claimed.indices:
            bench.record(database, claimed.lease, bench.trial_done(claimed, index, verdicts[index]))
            if is_to_end(database, claimed):
                return claimed
        bench.finish(database, claimed.lease)
    raise AssertionError("it never stopped")


def test_it_stops_at_the_n_at_which_the_sequence_is_narrow_enough(
    ready: Database, settings: Settings
) -> None:
    verdicts = [index % 5 != 0 for index in range(60)]
    number = bench.launch(ready, settings, WIDTH, trials=60, victims=ONE_VICTIM)
    at = stops_at(verdicts, WIDTH)
    assert 10 < at < 40
    stopped = run_until_stopped(ready, verdicts)
    assert end(ready, stopped) == "skipped"
    assert trial_states(ready, number) == ["done"] * at + ["skipped"] * (60 - at)
    found = detail(ready, number)
    assert found.state == "done" and found.is_sequential and found.stopped_at is not None
    assert found.trials_done == at
    assert f"Stopped after {at} of 60 trials: interval narrower than 50 points." in found.answer
    rate = found.victims[0].success
    assert rate is not None and rate.interval == "confidence_sequence"
    assert rate.high - rate.low <= WIDTH
    assert bench.claim(ready) is None


def test_every_victim_has_to_be_known_precisely_enough(ready: Database, settings: Settings) -> None:
    """One is always fooled and soon known; the other is fooled now and then."""
    number = bench.launch(ready, settings, WIDTH, trials=60)
    verdicts = [(True, index % 3 == 0) for index in range(60)]
    slower = stops_at([second for _, second in verdicts], WIDTH)
    assert stops_at([True] * 60, WIDTH) < slower
    claimed = bench.must_claim(ready)
    for index in range(slower):
        with ready.read() as session:
            assert session.get_one(Experiment, number).stopped_at is None
        bench.record(ready, claimed.lease, judged_apart(claimed, index, verdicts[index]))  # type: ignore[arg-type]
        if index + 1 in claimed.indices:
            continue
        bench.finish(ready, claimed.lease)
        claimed = bench.must_claim(ready)
    with ready.read() as session:
        assert session.get_one(Experiment, number).stopped_at is not None


def test_without_a_width_nothing_stops(ready: Database, settings: Settings) -> None:
    number = bench.launch(ready, settings, trials=40)
    bench.work_off(ready, 40)
    found = detail(ready, number)
    assert found.trials_done == 40 and not found.is_sequential and found.stopped_at is None
    assert found.victims[0].success is not None
    assert found.victims[0].success.interval == "wilson"


def test_what_is_narrow_with_its_last_trial_did_not_stop(
    ready: Database, settings: Settings
) -> None:
    at = stops_at([True] * 60, WIDTH)
    number = bench.launch(ready, settings, WIDTH, trials=at, victims=ONE_VICTIM)
    bench.work_off(ready, at)
    found = detail(ready, number)
    assert found.state == "done" and found.stopped_at is None and "Stopped" not in found.answer
    assert found.is_sequential


def test_what_other_workers_finish_before_they_hear_of_it_counts(
    ready: Database, settings: Settings
) -> None:
    """Two run, one is queued: the queued one ends at once, the other when it asks."""
    number = bench.launch(ready, batches_of(settings, 20), WIDTH, trials=60, victims=ONE_VICTIM)
    assert len(job_states(ready, number)) >= 3
    first, second = bench.must_claim(ready, "w1"), bench.must_claim(ready, "w2")
    bench.record(ready, second.lease, bench.trial_done(second, second.indices[0]))
    for index in first.indices:
        bench.record(ready, first.lease, bench.trial_done(first, index))
        if is_to_end(ready, first):
            break
    states = job_states(ready, number)
    assert states[:2] == ["running", "running"] and set(states[2:]) == {"skipped"}
    bench.record(ready, second.lease, bench.trial_done(second, second.indices[1]))  # late
    assert is_to_end(ready, second)
    assert end(ready, second) == end(ready, first) == "skipped"
    found = detail(ready, number)
    assert found.state == "done"
    assert found.trials_done == trial_states(ready, number).count("done")
    assert found.victims[0].success is not None
    assert found.victims[0].success.n == found.trials_done == index + 1 + 2
    with pytest.raises(jobs.LeaseLost):  # and after it ended, nothing
        bench.record(ready, second.lease, bench.trial_done(second, second.indices[2]))


@pytest.mark.parametrize("ending", ["dies", "fails", "is released", "runs out of memory"])
def test_however_a_job_ends_after_the_stop_it_is_not_run_again(
    ready: Database, settings: Settings, ending: str
) -> None:
    number = bench.launch(ready, settings, WIDTH, trials=60, victims=ONE_VICTIM)
    claimed = run_until_stopped(ready, [True] * 60)
    with ready.write() as session:
        if ending == "dies":
            jobs.requeue(session, "w1", bench.AT)
        elif ending == "is released":
            jobs.release(session, claimed.lease, bench.AT)
        else:
            reason = "bad_data" if ending == "fails" else "out_of_memory"
            jobs.fail(session, claimed.lease, Failed(reason=reason, message="no"), bench.AT)
    assert detail(ready, number).state == "done"
    assert set(job_states(ready, number)) <= {"done", "skipped"}
    assert bench.claim(ready) is None


def test_a_trial_whose_worker_dies_with_it_takes_the_stop_along(
    ready: Database, settings: Settings
) -> None:
    """The stop is in the transaction that records the trial: both are there, or neither."""
    at = stops_at([True] * 60, WIDTH)
    number = bench.launch(ready, settings, WIDTH, trials=60, victims=ONE_VICTIM)
    claimed = bench.must_claim(ready)
    for index in range(at - 1):
        bench.record(ready, claimed.lease, bench.trial_done(claimed, index))
    last = bench.trial_done(claimed, at - 1)
    with pytest.raises(KeyboardInterrupt), ready.write() as session:
        results.record_trial(
            session, claimed.lease, last, Stored(last.poison_set_hash, 1), 5, bench.AT
        )
        raise KeyboardInterrupt
    found = detail(ready, number)
    assert found.trials_done == at - 1 and found.stopped_at is None
    bench.record(ready, claimed.lease, last)
    assert detail(ready, number).stopped_at is not None


def test_what_failed_and_is_retried_stops_where_it_is_narrow_already(
    ready: Database, settings: Settings
) -> None:
    number = bench.launch(ready, batches_of(settings, 20), WIDTH, trials=60, victims=ONE_VICTIM)
    broken = bench.must_claim(ready)
    with ready.write() as session:
        jobs.fail(session, broken.lease, Failed(reason="bad_data", message="no"), bench.AT)
    end(ready, run_until_stopped(ready, [True] * 60))
    found = detail(ready, number)
    assert found.state == "failed" and found.stopped_at is not None
    with ready.write() as session:
        experiments.retry(session, settings, number, bench.AT)
    assert detail(ready, number).state == "done"
    assert bench.claim(ready) is None


def test_a_cancellation_after_the_stop_changes_nothing(ready: Database, settings: Settings) -> None:
    number = bench.launch(ready, settings, WIDTH, trials=60, victims=ONE_VICTIM)
    claimed = run_until_stopped(ready, [True] * 60)
    with ready.write() as session:
        experiments.cancel(session, number, bench.AT)
    assert end(ready, claimed) == "skipped"
    assert detail(ready, number).state == "done"


def test_a_clone_stops_at_the_same_width(ready: Database, settings: Settings) -> None:
    number = bench.launch(ready, settings, WIDTH, trials=60)
    with ready.write() as session:
        copy = experiments.clone(session, settings, number, bench.AT)
        assert (copy.stop_width, copy.is_sequential) == (WIDTH, True)


# --- extended -----------------------------------------------------------------------------------


def extend(database: Database, settings: Settings, number: int, trials: int) -> None:
    with database.write() as session:
        extending.extend(session, settings, number, trials, bench.AT)


def outcome_ids(database: Database, number: int) -> set[int]:
    with database.read() as session:
        return set(session.scalars(select(Outcome.id).where(Outcome.experiment_id == number)))


def test_from_20_to_40_trials_none_is_repeated(ready: Database, settings: Settings) -> None:
    number = bench.launch(ready, settings, trials=20)
    bench.work_off(ready, 15)
    before = outcome_ids(ready, number)
    with ready.read() as session:
        old = session.get_one(Experiment, number)
        series = old.series
    extend(ready, settings, number, 40)
    claimed = bench.must_claim(ready)
    numbers = list(claimed.indices)
    for index in claimed.indices:
        bench.record(ready, claimed.lease, bench.trial_done(claimed, index, success=False))
    assert bench.finish(ready, claimed.lease) == "done"
    while (further := bench.claim(ready)) is not None:
        numbers += further.indices
        for index in further.indices:
            bench.record(ready, further.lease, bench.trial_done(further, index, success=False))
        bench.finish(ready, further.lease)
    assert numbers == list(range(20, 40))
    assert before < outcome_ids(ready, number)
    found = detail(ready, number)
    assert (found.state, found.trials_done, found.trials_total) == ("done", 40, 40)
    spec = ExperimentSpec.model_validate(found.spec)
    assert spec.trials == 40 and found.spec_hash == spec_hash(spec)
    rate = found.victims[0].success
    assert rate is not None and (rate.successes, rate.n) == (15, 40)
    expected = stats.confidence_sequence(15, 40)
    assert (rate.low, rate.high) == (expected.low, expected.high)
    with ready.read() as session:
        assert session.get_one(Experiment, number).series != series
        assert all(session.scalars(select(OutcomeSum.is_sequential).where(
            OutcomeSum.experiment_id == number)))  # fmt: skip


def test_what_is_kept_of_sequential_counts_is_what_counting_anew_gives(
    ready: Database, settings: Settings
) -> None:
    number = bench.launch(ready, settings, trials=4)
    bench.work_off(ready)
    extend(ready, settings, number, 6)
    bench.work_off(ready)
    kept = select(
        OutcomeSum.experiment_id, OutcomeSum.victim, OutcomeSum.n, OutcomeSum.is_sequential
    ).order_by(OutcomeSum.experiment_id, OutcomeSum.victim)
    with ready.write() as session:
        before = session.execute(kept).all()
        sums.recount(session)
        assert session.execute(kept).all() == before
        assert {row.is_sequential for row in before} == {False, True}


def test_a_running_one_is_extended_while_it_runs(ready: Database, settings: Settings) -> None:
    number = bench.launch(ready, one_by_one(settings), trials=2)
    claimed = bench.must_claim(ready)
    extend(ready, settings, number, 5)
    bench.record(ready, claimed.lease, bench.trial_done(claimed, 0))
    assert bench.finish(ready, claimed.lease) == "done"
    bench.work_off(ready)
    assert trial_states(ready, number) == ["done"] * 5
    assert detail(ready, number).state == "done"


def test_a_stopped_one_takes_up_what_it_skipped(ready: Database, settings: Settings) -> None:
    number = bench.launch(ready, settings, WIDTH, trials=60, victims=ONE_VICTIM)
    end(ready, run_until_stopped(ready, [True] * 60))
    done = detail(ready, number).trials_done
    extend(ready, settings, number, 60)
    waiting = detail(ready, number)
    assert waiting.state in ("queued", "running") and waiting.stopped_at is None
    assert trial_states(ready, number).count("queued") == 60 - done
    bench.work_off(ready, 60)
    found = detail(ready, number)
    assert (found.state, found.trials_done) == ("done", 60)
    assert found.is_sequential and "Stopped" not in found.answer


def test_one_that_never_was_narrow_enough_still_stops_when_it_is_extended(
    ready: Database, settings: Settings
) -> None:
    number = bench.launch(ready, settings, WIDTH, trials=4, victims=ONE_VICTIM)
    bench.work_off(ready, 4)
    extend(ready, settings, number, 60)
    end(ready, run_until_stopped(ready, [True] * 60))
    found = detail(ready, number)
    assert found.trials_done == stops_at([True] * 60, WIDTH) < 60 == found.trials_total


@pytest.mark.parametrize("trials", [1, 4])
def test_fewer_trials_or_as_many_are_refused(
    ready: Database, settings: Settings, trials: int
) -> None:
    number = bench.launch(ready, settings, trials=4)
    with pytest.raises(Invalid) as caught:
        extend(ready, settings, number, trials)
    [problem] = caught.value.errors
    assert problem.field == "trials" and problem.remedy == "ask for 5 in all, or more"


def test_a_benchmarks_list_ends_at_100(ready: Database, settings: Settings) -> None:
    number = bench.launch(ready, settings, trials=4)
    with ready.write() as session:
        row = session.get_one(Experiment, number)
        data = row.spec["data"] | {"dataset": "cifar10", "setups": "cifar10_transfer_learning"}
        row.spec = row.spec | {"data": data}
    with pytest.raises(Invalid, match="100 setups"):
        extend(ready, settings, number, 101)


def test_what_cannot_be_extended_says_what_to_do_first(ready: Database, settings: Settings) -> None:
    number = bench.launch(ready, settings, trials=4)
    with ready.write() as session:
        experiments.cancel(session, number, bench.AT)
    with pytest.raises(Conflict, match="cancelled; retry it first"):
        extend(ready, settings, number, 8)
    with ready.write() as session:
        experiments.retry(session, settings, number, bench.AT)
        session.get_one(Experiment, number).archived_at = bench.AT
    with pytest.raises(Conflict, match="archived"):
        extend(ready, settings, number, 8)


def test_one_that_is_just_stopping_is_not_extended(ready: Database, settings: Settings) -> None:
    number = bench.launch(ready, settings, WIDTH, trials=60, victims=ONE_VICTIM)
    run_until_stopped(ready, [True] * 60)
    with pytest.raises(Conflict, match="in a few seconds"):
        extend(ready, settings, number, 80)
    with ready.read() as session:
        assert session.scalar(select(func.count()).select_from(Trial).where(
            Trial.experiment_id == number)) == 60  # fmt: skip
