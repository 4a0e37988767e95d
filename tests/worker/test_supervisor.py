"""``serve``: a server and its worker, started with one command and stopped with one signal."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from app import machine, supervisor
from tests.worker.bench import Bench, assert_whole, is_alive, wait_until

REPOSITORY = Path(__file__).parents[2]


class Served:
    """A running ``serve`` on a bench's home."""

    def __init__(self, bench: Bench, port: int = 0, workers: int = 1) -> None:
        self.bench = bench
        settings = bench.settings
        self.environment = os.environ | {
            "DOSIMETER_HOME": str(bench.home),
            "DOSIMETER_PORT": str(port),
            "DOSIMETER_DEMONSTRATION": "false",
            "DOSIMETER_WORKERS": str(workers),
            "DOSIMETER_LEASE_S": "60",
            "DOSIMETER_HEARTBEAT_S": str(settings.heartbeat_s),
            "DOSIMETER_POLL_S": str(settings.poll_s),
            "FAKE_MARKS": str(bench.marks),
            "PYTHONPATH": os.pathsep.join((str(REPOSITORY), os.environ.get("PYTHONPATH", ""))),
        }
        self.process = self.start()

    def start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "tests.worker.fake_serve"],
            env=self.environment,
            cwd=self.bench.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def url(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert "http://" in line, line
        return next(word for word in line.split() if word.startswith("http"))

    def worker_pid(self) -> int:
        wait_until(lambda: self.bench.workers())
        return int(self.bench.workers()[-1].split(":")[1])


@pytest.fixture
def served(bench: Bench, request: pytest.FixtureRequest) -> Iterator[Served]:
    served = Served(bench, workers=getattr(request, "param", 1))
    yield served
    with suppress(ProcessLookupError):
        os.killpg(served.process.pid, signal.SIGKILL)
    served.process.communicate()


def test_one_command_serves_and_works_and_ctrl_c_stops_both(served: Served, bench: Bench) -> None:
    url = served.url()
    assert httpx.get(f"{url}/healthz").status_code == 200
    job_id = bench.add_experiment()
    wait_until(lambda: bench.state(job_id) == "done")
    assert_whole(bench, job_id, 4)

    with pytest.raises(supervisor.CannotStart, match=f"process {served.process.pid} already"):
        supervisor.serve(bench.settings)

    bench.plan(gate_at=1, gate="never")
    other = bench.add_experiment()
    wait_until(lambda: bench.done(other) == [0])
    worker = served.worker_pid()
    with httpx.stream("GET", f"{url}/live/experiments/{other}", timeout=15) as stream:
        lines = stream.iter_lines()
        next(lines)
        os.killpg(served.process.pid, signal.SIGINT)  # as a terminal's Ctrl-C
        for _ in lines:
            pass  # an open page's stream ends in order, it is not cut off
    _, said = served.process.communicate(timeout=12)
    assert served.process.returncode == 0
    assert "Fatal" not in said and "Traceback" not in said, said
    assert not is_alive(worker) and not bench.is_child_alive()
    assert bench.state(other) == "queued", "handed back"
    assert bench.job(other).failures == 0


def test_dead_worker_is_replaced_and_a_dead_server_leaves_none(
    served: Served, bench: Bench
) -> None:
    served.url()
    bench.plan(gate_at=2, gate="open")
    job_id = bench.add_experiment()
    wait_until(lambda: bench.done(job_id) == [0, 1])
    os.kill(served.worker_pid(), signal.SIGKILL)
    wait_until(lambda: bench.state(job_id) == "queued" or bench.job(job_id).attempt == 2, 2)
    (bench.marks / "open").touch()
    wait_until(lambda: bench.state(job_id) == "done")
    assert bench.executed() == [0, 1, 2, 3]
    assert_whole(bench, job_id, 4)

    bench.plan(gate_at=0, gate="never")
    other = bench.add_experiment()
    wait_until(bench.is_child_alive)
    worker = served.worker_pid()
    served.process.kill()
    wait_until(lambda: not is_alive(worker) and not bench.is_child_alive(), 10)
    assert bench.state(other) == "queued"


@pytest.mark.parametrize("served", [2], indirect=True)
def test_several_workers_run_as_many_jobs_and_stop_together(served: Served, bench: Bench) -> None:
    served.url()
    bench.plan(gate_at=1, gate="never")
    jobs = [bench.add_experiment(), bench.add_experiment()]
    wait_until(lambda: [bench.done(job) for job in jobs] == [[0], [0]])
    workers = {bench.job(job).owner for job in jobs}
    assert len(workers) == 2 and None not in workers
    served.process.send_signal(signal.SIGTERM)
    served.process.communicate(timeout=12)
    assert served.process.returncode == 0
    assert not any(is_alive(int(str(worker).split(":")[1])) for worker in workers)
    assert [bench.state(job) for job in jobs] == ["queued", "queued"], "handed back"


def test_workers_share_the_cores_and_take_a_gpu_each(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 8)
    monkeypatch.setattr(machine, "nvidia_gpus", lambda: 2)
    settings = bench.settings.model_copy(update={"workers": 3, "threads": None, "device": "auto"})
    shares = [settings.of_worker(number) for number in range(3)]
    assert [share.threads for share in shares] == [2, 2, 2]
    assert [share.device for share in shares] == ["cuda:0", "cuda:1", "cuda:0"]
    alone = settings.model_copy(update={"workers": 1})
    assert alone.of_worker(0) is alone


def test_taken_port_is_refused_in_words(bench: Bench) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        settings = bench.settings.model_copy(update={"port": port})
        with pytest.raises(supervisor.CannotStart, match=f"{port} is in use.*DOSIMETER_PORT"):
            supervisor.serve(settings)
