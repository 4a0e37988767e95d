"""PostgreSQL and Redis of our own, on free ports, for one session of tests."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.db import migrate
from app.settings import Settings
from tests.production.servers import Server, start_postgres, start_redis
from tests.worker.bench import Bench


@dataclass
class Stack:
    """The two servers and their URLs."""

    postgres: Server
    redis: Server
    database_url: str
    broker_url: str


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    redis, broker_url = start_redis(tmp_path)
    try:
        postgres, folder, database_url = start_postgres()
    except BaseException:
        redis.kill()
        raise
    yield Stack(postgres, redis, database_url, broker_url)
    postgres.kill()
    redis.kill()
    shutil.rmtree(folder)


@pytest.fixture
def bench(stack: Stack, tmp_path: Path) -> Iterator[Bench]:
    """A bench of tests/worker, on PostgreSQL and Redis."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    settings = Settings(
        home=home,
        database_url=stack.database_url,
        broker_url=stack.broker_url,
        lease_s=3,
        heartbeat_s=0.3,
        poll_s=0.5,
        _env_file=None,
    )
    migrate(settings)
    bench = Bench(home, settings)
    yield bench
    bench.stop()
