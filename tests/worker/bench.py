"""A bench for workers: a database of its own, experiments in it, real worker processes on it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import select

from app.columns import now
from app.db import open_database
from app.models import (
    Checkpoint,
    Experiment,
    ExperimentCheckpoint,
    Job,
    LogLine,
    Outcome,
    Trial,
    Worker,
)
from app.services import jobs
from app.settings import Settings
from app.storage import Store
from poisoning.params import NoPerturbation
from poisoning.spec import DataSpec, ExperimentSpec, PretrainSpec, spec_hash
from poisoning.victim_params import FrozenVictim

HERE = Path(__file__).parent
SPEC = ExperimentSpec(
    attack=NoPerturbation(),
    victims=(FrozenVictim(checkpoint="extractor"),),
    data=DataSpec(dataset="digits_5_9", train_size=500, poisons=3),
    trials=4,
)


class Bench:
    """A home folder, its database, and the worker processes of one test."""

    def __init__(self, home: Path, settings: Settings) -> None:
        self.home, self.settings = home, settings
        self.database = open_database(settings)
        self.marks = home / "marks"
        self.marks.mkdir(parents=True, exist_ok=True)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.plan()

    # --- what there is to do ---

    def plan(self, **values: Any) -> None:
        """What the fake child shall do; see its docstring."""
        (self.marks / "plan.json").write_text(json.dumps(values))

    def add_experiment(self, trials: int = 4) -> int:
        """An experiment of one batch whose checkpoint is ready; the id of its job."""
        weights = self.home / "weights"
        weights.write_bytes(b"weights")
        stored = Store(self.settings.artifacts_dir).put("checkpoints", weights, card={})
        spec = SPEC.model_copy(update={"trials": trials})
        with self.database.write() as session:
            checkpoint = session.scalar(select(Checkpoint).where(Checkpoint.name == "extractor"))
            if checkpoint is None:
                checkpoint = Checkpoint(
                    name="extractor",
                    state="ready",
                    model="resnet18_w16",
                    dataset="digits_0_4",
                    sha256=stored.sha256,
                )
            experiment = Experiment(
                title="fake",
                spec=spec.model_dump(mode="json"),
                spec_hash=spec_hash(spec),
                attack="no_perturbation",
                dataset="digits_5_9",
                profile="smoke",
                precision="exact",
                trials_total=trials,
            )
            session.add_all([checkpoint, experiment])
            session.flush()
            session.add(
                ExperimentCheckpoint(experiment_id=experiment.id, checkpoint_id=checkpoint.id)
            )
            job = Job(kind="trials", experiment_id=experiment.id)
            session.add(job)
            session.flush()
            session.add_all(
                Trial(experiment_id=experiment.id, job_id=job.id, number=n) for n in range(trials)
            )
            return job.id

    def add_pretraining(self, name: str = "fresh") -> int:
        spec = PretrainSpec(model="resnet18_w16", dataset="digits_0_4", epochs=2)
        with self.database.write() as session:
            checkpoint = Checkpoint(
                name=name,
                spec=spec.model_dump(mode="json"),
                model=spec.model,
                dataset=spec.dataset,
            )
            session.add(checkpoint)
            session.flush()
            job = Job(kind="pretrain", checkpoint_id=checkpoint.id, priority=10)
            session.add(job)
            session.flush()
            return job.id

    def cancel(self, job_id: int) -> None:
        with self.database.write() as session:
            jobs.cancel(session, now(), Job.id == job_id)

    # --- who does it ---

    @property
    def child_command(self) -> tuple[str, ...]:
        return (sys.executable, "-S", str(HERE / "fake_child.py"), str(self.marks))

    def start_worker(self, **settings: Any) -> subprocess.Popen[bytes]:
        """A real Celery worker process, as the supervisor starts it, with the fake child."""
        values = {
            "home": self.home,
            "database_url": self.settings.database_url or "",
            "broker_url": self.settings.broker_url or "",
            "lease_s": self.settings.lease_s,
            "heartbeat_s": self.settings.heartbeat_s,
            "poll_s": self.settings.poll_s,
        } | settings
        environment = os.environ | {
            f"DOSIMETER_{name.upper()}": str(value) for name, value in values.items() if value
        }
        environment |= {"FAKE_MARKS": str(self.marks), "PYTHONPATH": str(HERE)}
        with (self.home / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "celery", "-A", "fake_worker", "worker"),
                    *("--pool", "threads", "--concurrency", "1", "--loglevel", "INFO"),
                    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
                    *("--hostname", f"w{len(self.processes)}@%h"),
                ],
                cwd=self.home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def log(self) -> str:
        return (self.home / "worker.log").read_text()

    def stop(self) -> None:
        for process in self.processes:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        for pid in self.children():
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        self.database.close()

    # --- what came out ---

    def job(self, job_id: int) -> Job:
        with self.database.read() as session:
            return session.get_one(Job, job_id)

    def state(self, job_id: int) -> str:
        return self.job(job_id).state

    def job_states(self) -> set[str]:
        with self.database.read() as session:
            return set(session.scalars(select(Job.state)))

    def job_count(self) -> int:
        with self.database.read() as session:
            return len(session.scalars(select(Job.id)).all())

    def done(self, job_id: int) -> list[int]:
        with self.database.read() as session:
            found = select(Trial.number).where(Trial.job_id == job_id, Trial.state == "done")
            return sorted(session.scalars(found))

    def trial_states(self, job_id: int) -> set[str]:
        with self.database.read() as session:
            return set(session.scalars(select(Trial.state).where(Trial.job_id == job_id)))

    def outcomes(self, job_id: int) -> list[int]:
        """The trial number of each outcome row; a trial counted twice stands there twice."""
        with self.database.read() as session:
            found = select(Trial.number).join(Outcome, Outcome.trial_id == Trial.id)
            return sorted(session.scalars(found.where(Trial.job_id == job_id)))

    def lines(self, job_id: int) -> str:
        with self.database.read() as session:
            found = select(LogLine.message).where(LogLine.job_id == job_id).order_by(LogLine.id)
            return "\n".join(session.scalars(found))

    def workers(self) -> list[str]:
        with self.database.read() as session:
            return list(session.scalars(select(Worker.id)))

    def executed(self) -> list[int]:
        """Trial numbers in the order children executed them, over all attempts."""
        path = self.marks / "executed"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def children(self) -> list[int]:
        path = self.marks / "pids"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def is_child_alive(self) -> bool:
        return any(is_alive(pid) for pid in self.children())


def assert_whole(bench: Bench, job_id: int, trials: int) -> None:
    """The job is done, each trial has exactly one outcome row, and no child is left."""
    assert bench.state(job_id) == "done"
    assert bench.done(job_id) == list(range(trials))
    assert bench.outcomes(job_id) == list(range(trials))
    wait_until(lambda: not bench.is_child_alive(), 5)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(what: Callable[[], Any], within_s: float = 20.0) -> float:
    """Wait until something is so; how long it took."""
    began = time.monotonic()
    while not what():
        waited = time.monotonic() - began
        assert waited < within_s, f"not so within {within_s} s"
        time.sleep(0.02)
    return time.monotonic() - began
