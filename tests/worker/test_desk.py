"""What a job says is written down under its lease, and with the heartbeat."""

from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.models import Job, JobStage
from app.services import jobs
from app.services.jobs import LeaseLost
from poisoning.events import Progress
from tests.worker.bench import Bench
from worker.desk import Desk
from worker.runtime import Runtime, now


@pytest.fixture
def desk(bench: Bench, tmp_path: Path) -> Desk:
    runtime = Runtime(bench.settings)
    bench.add_experiment()
    with runtime.database.write() as session:
        claim = jobs.claim(session, runtime.owner, now(), 60)
    assert claim is not None
    return Desk(runtime, claim.lease, tmp_path)


def crafting(step: int, total: int = 1000) -> Progress:
    return Progress(
        stage="craft", done=step, total=total, unit="steps", values={"loss": 1.0 / step}
    )


def stages(bench: Bench) -> list[JobStage]:
    with bench.database.read() as session:
        return list(session.scalars(select(JobStage)))


def test_a_thousand_steps_are_one_row_written_with_the_heartbeat(bench: Bench, desk: Desk) -> None:
    for step in range(1, 701):
        desk.progress(crafting(step))
    assert stages(bench) == []
    assert desk.beat() is False
    for step in range(701, 1001):
        desk.progress(crafting(step))
    desk.beat()
    [row] = stages(bench)
    assert (row.stage, row.victim, row.done, row.total) == ("craft", 0, 1000, 1000)
    points = row.curves["loss"]
    assert len(points) <= 200
    assert points[0] == [0.001, 1.0, 1] and points[-1] == [1.0, 0.001, 1]


def test_the_last_points_are_written_when_the_job_ends(bench: Bench, desk: Desk) -> None:
    desk.progress(crafting(5, total=5))
    desk.release()
    assert [row.done for row in stages(bench)] == [5]


def test_a_worker_that_lost_its_lease_writes_no_curve(bench: Bench, desk: Desk) -> None:
    with bench.database.write() as session:
        session.execute(update(Job).values(attempt=Job.attempt + 1))
    desk.progress(crafting(5))
    with pytest.raises(LeaseLost):
        desk.beat()
    assert stages(bench) == []
