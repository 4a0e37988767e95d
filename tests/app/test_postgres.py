"""What differs between the two databases: types, locks, conflicts. On a private PostgreSQL."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, select, text

from app import db
from app.columns import Base
from app.db import Database
from app.models import Experiment, Job, Outcome
from app.queries import experiments as experiment_queries
from app.queries import leaderboards, trials
from app.requests import LaunchRequest
from app.services import experiments, jobs
from app.settings import Settings
from tests.app import workbench as bench
from tests.production.servers import start_postgres

pytestmark = pytest.mark.production


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server, folder, address = start_postgres()
    yield address
    server.kill()
    shutil.rmtree(folder)


@pytest.fixture
def settings(url: str, tmp_path: Path) -> Settings:
    return Settings(
        _env_file=None, home=tmp_path / "home", database_url=url, memory_mib=8192, threads=2
    )


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """A migrated database with empty tables."""
    db.migrate(settings)
    opened = db.open_database(settings)
    with opened.write() as session:
        names = ", ".join(Base.metadata.tables)
        session.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    yield opened
    opened.close()


def test_autogenerate_finds_no_difference(database: Database) -> None:
    with database.read_engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_migrations_may_start_at_once(settings: Settings, database: Database) -> None:
    with database.write() as session:
        session.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    with ThreadPoolExecutor(4) as pool:
        reached = set(pool.map(lambda _: db.migrate(settings), range(4)))
    assert reached == {db.expected_version()}


def test_an_experiment_from_launch_to_leaderboard(database: Database, settings: Settings) -> None:
    number = bench.launch(database, settings)
    bench.work_off(database, successes=3, twins=1)
    again = bench.launch(database, settings)
    bench.work_off(database, successes=3, twins=1)
    with database.read() as session:
        found = experiment_queries.get(session, number, bench.AT)
        assert found.state == "done"
        assert found.answer.startswith("Bullseye Polytope fools 3 of 4 white-box victims")
        assert found.created_at == bench.AT
        assert len(trials.page(session, again).items) == 4
        [board] = leaderboards.page(session)
        cell = board.rows[0].cells[0]
    assert cell is not None
    assert (cell.success.successes, cell.success.n, cell.twin.successes) == (3, 4, 1)


def test_many_workers_share_the_work_without_doubles(
    database: Database, settings: Settings
) -> None:
    """Every batch of every experiment ends exactly once, and so does every experiment."""
    slow = {"name": "bullseye_polytope", "eps_255": 32, "steps": 100_000}
    for seed in range(6):
        bench.launch(database, settings, seed=seed, attack=slow)

    def work(owner: int) -> int:
        idle = count = 0
        while idle < 20:
            claimed = bench.claim(database, f"w{owner}")
            if claimed is None:
                idle += 1
                continue
            idle, count = 0, count + 1
            if claimed.kind == "pretrain":
                bench.pretrain(database, claimed)
                continue
            for index in claimed.indices:
                bench.record(database, claimed.lease, bench.trial_done(claimed, index))
            assert bench.finish(database, claimed.lease) == "done"
        return count

    with ThreadPoolExecutor(8) as pool:
        ended = sum(pool.map(work, range(8)))
    with database.read() as session:
        states = set(session.scalars(select(Experiment.state)))
        attempts = set(session.scalars(select(Job.attempt)))
        assert states == {"done"}
        assert attempts == {1}
        assert ended == session.scalar(select(func.count()).select_from(Job))
        assert session.scalar(select(func.count()).select_from(Outcome)) == 6 * 4 * 2


def test_twenty_parallel_launches_with_one_key_make_one_experiment(
    database: Database, settings: Settings
) -> None:
    request = LaunchRequest(spec=bench.spec())

    def launch(_: int) -> int:
        with database.write() as session:
            return experiments.launch_once(session, settings, request, bench.AT, "me", "key").id

    with ThreadPoolExecutor(20) as pool:
        assert len(set(pool.map(launch, range(20)))) == 1


def test_a_cancel_and_a_finish_at_once_have_one_end(database: Database, settings: Settings) -> None:
    bench.launch(database, settings, trials=1)
    bench.work_off(database)
    for seed in range(1, 9):
        number = bench.launch(database, settings, trials=1, seed=seed)
        claimed = bench.must_claim(database)
        bench.record(database, claimed.lease, bench.trial_done(claimed, 0))

        def cancel(number: int = number) -> None:
            with database.write() as session:
                jobs.cancel(session, bench.AT, Job.experiment_id == number)

        with ThreadPoolExecutor(2) as pool:
            ends = [pool.submit(bench.finish, database, claimed.lease), pool.submit(cancel)]
            assert ends[0].result() == "done"
            ends[1].result()
        with database.read() as session:
            assert session.get_one(Experiment, number).state == "done"
