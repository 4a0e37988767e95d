"""What is asked of curves: the newest batches, the pace, rates trial by trial."""

from datetime import timedelta

import pytest
from sqlalchemy import update

from app.db import Database
from app.models import Experiment, Job, Trial
from app.queries import curves
from app.services import curves as kept
from app.services.curves import Course
from app.settings import Settings
from poisoning import stats
from tests.app import workbench as bench


def add_jobs(database: Database, experiment_id: int, count: int) -> list[int]:
    with database.write() as session:
        jobs = [Job(kind="trials", experiment_id=experiment_id) for _ in range(count)]
        session.add_all(jobs)
        session.flush()
        return [job.id for job in jobs]


def write(database: Database, job_id: int, **changes: object) -> None:
    plain: dict[str, object] = {
        "stage": "craft",
        "victim": 0,
        "done": 50,
        "total": 100,
        "unit": "steps",
        "seconds": 5.0,
        "measured": 0.5,
        "curves": {"loss": [(0.5, 1.0, 1)]},
    }
    with database.write() as session:
        kept.keep(session, job_id, [Course(**plain | changes)])  # type: ignore[arg-type]


def test_only_the_newest_batches_are_read(database: Database, settings: Settings) -> None:
    number = bench.launch(database, settings)
    ids = add_jobs(database, number, 12)
    for job_id in ids:
        write(database, job_id)
    with database.read() as session:
        found = curves.of_experiment(session, number)
    assert [curve.job_id for curve in found] == ids[-curves.NEWEST_JOBS :]


def test_a_stage_is_one_row_however_often_it_is_written(
    database: Database, settings: Settings
) -> None:
    number = bench.launch(database, settings)
    [job_id] = add_jobs(database, number, 1)
    write(database, job_id)
    write(database, job_id, done=100, curves={"loss": [(0.5, 1.0, 1), (1.0, 0.5, 1)]})
    with database.read() as session:
        [curve] = curves.of_experiment(session, number)
    assert curve.points == [(0.5, 1.0, 1), (1.0, 0.5, 1)]


def test_the_pace_pools_what_was_measured(database: Database, settings: Settings) -> None:
    number = bench.launch(database, settings)
    first, second = add_jobs(database, number, 2)
    write(database, first, seconds=30.0, measured=1.0)
    write(database, second, seconds=5.0, measured=0.25)
    write(database, second, stage="victims", seconds=0.0, measured=0.0)
    with database.read() as session:
        assert curves.pace(session, number, []) == {("craft", 0): pytest.approx(28.0)}


def test_rates_follow_the_order_in_which_trials_were_finished(
    database: Database, settings: Settings
) -> None:
    number = bench.launch(database, settings)
    bench.work_off(database, successes=3)
    with database.write() as session:  # trial 3, the one that failed, was the first to finish
        early = bench.AT - timedelta(days=1)
        session.execute(update(Trial).where(Trial.number == 3).values(finished_at=early))
        found = curves.success_so_far(session, session.get_one(Experiment, number))
    assert [its.victim for its in found] == [0, 1]
    for its in found:
        assert [(rate.successes, rate.n) for rate in its.success] == [
            (0, 1),
            (1, 2),
            (2, 3),
            (3, 4),
        ]
        assert [rate.successes for rate in its.twin] == [0] * 4


@pytest.mark.parametrize("trials", [1, 199, 200, 201, 10_000])
def test_long_rates_are_thinned_and_keep_their_last(trials: int) -> None:
    its = curves._so_far(0, [(n % 2 == 0, False) for n in range(trials)], is_sequential=False)
    counts = [rate.n for rate in its.success]
    assert len(counts) <= curves.MOST + 1
    assert counts == sorted(set(counts)) and counts[-1] == trials
    last, interval = its.success[-1], stats.wilson((trials + 1) // 2, trials)
    assert last.successes == (trials + 1) // 2
    assert (last.low, last.high) == pytest.approx((interval.low, interval.high))
