"""States change in one module only, and never in a way the tables do not allow."""

import itertools
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import func, select

from app import db, errors
from app.columns import Base
from app.models import Experiment, Job, Outcome, Trial
from app.services import experiments, extending, jobs, states
from app.services.jobs import Claim, LeaseLost
from app.settings import Settings
from poisoning.events import Failed
from tests.app import workbench as bench

ROOT = Path(__file__).resolve().parents[2]


def test_no_other_module_writes_a_state() -> None:
    writes = re.compile(r"\.state\s*=[^=]|values\([^)]*\bstate\s*=")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in itertools.chain((ROOT / "app").rglob("*.py"), (ROOT / "worker").rglob("*.py"))
        if path.name != "states.py"
        for line in path.read_text(encoding="utf-8").splitlines()
        if writes.search(line) and "app.state." not in line and "request.state." not in line
    ]
    assert found == []


@pytest.mark.parametrize("noun", list(states.MOVES))
def test_the_table_of_moves_is_closed(noun: states.Stateful) -> None:
    known = set(states.MOVES[noun])
    assert all(sources <= known for sources in states.MOVES[noun].values())


def test_nothing_leaves_done_but_what_is_extended() -> None:
    assert all("done" not in sources for sources in states.JOB.values())
    left = {to for to, sources in states.EXPERIMENT.items() if "done" in sources}
    assert left == {"queued", "waiting", "running"}
    assert all("ready" not in sources for sources in states.CHECKPOINT.values())


class Lifecycle(RuleBasedStateMachine):
    """Any order of claims, reports, deaths, cancellations, retries, early stops and extensions
    keeps the books right.
    """

    @initialize(trials=st.integers(1, 4), stop_width=st.sampled_from([None, 0.9]))
    def start(self, trials: int, stop_width: float | None) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.settings = Settings(
            _env_file=None,
            home=Path(self.folder.name),
            database_url=f"sqlite:///{self.folder.name}/x.db",
            memory_mib=8192,
            batch_seconds=1,  # a batch for every trial
        )
        self.database = db.open_database(self.settings)
        Base.metadata.create_all(self.database.write_engine)
        self.number = bench.launch(
            self.database, self.settings, stop_width=stop_width, trials=trials
        )
        self.held: list[Claim] = []
        self.lost: list[Claim] = []

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()
            self.folder.cleanup()

    @rule(owner=st.sampled_from(["w1", "w2"]))
    def take(self, owner: str) -> None:
        claimed = bench.claim(self.database, owner)
        if claimed is not None:
            self.held.append(claimed)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), success=st.booleans())
    def report(self, data: st.DataObject, success: bool) -> None:
        claimed = data.draw(st.sampled_from(self.held))
        if claimed.kind == "trials" and claimed.indices:
            index = data.draw(st.sampled_from(claimed.indices))
            bench.record(self.database, claimed.lease, bench.trial_done(claimed, index, success))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        claimed = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        if claimed.kind == "pretrain":
            bench.pretrain(self.database, claimed)
        else:
            bench.finish(self.database, claimed.lease)
        self.lost.append(claimed)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), reason=st.sampled_from(["error", "bad_data", "out_of_memory"]))
    def fail(self, data: st.DataObject, reason: str) -> None:
        claimed = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        failed = Failed.model_validate({"reason": reason, "message": "no"})
        with self.database.write() as session:
            jobs.fail(session, claimed.lease, failed, bench.AT)
        self.lost.append(claimed)

    @rule(owner=st.sampled_from(["w1", "w2"]))
    def die(self, owner: str) -> None:
        with self.database.write() as session:
            jobs.requeue(session, owner, bench.AT)
        self.lost += [c for c in self.held if c.lease.owner == owner]
        self.held = [c for c in self.held if c.lease.owner != owner]

    @precondition(lambda self: self.lost)
    @rule(data=st.data())
    def haunt(self, data: st.DataObject) -> None:
        """Whoever lost its job can write nothing any more."""
        claimed = data.draw(st.sampled_from(self.lost))
        with pytest.raises(LeaseLost):
            bench.finish(self.database, claimed.lease)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def beat(self, data: st.DataObject) -> None:
        claimed = self.held[data.draw(st.integers(0, len(self.held) - 1))]
        with self.database.write() as session:
            if jobs.heartbeat(session, claimed.lease, None, bench.AT, bench.LEASE_S):
                jobs.confirm_ended(session, claimed.lease, bench.AT)
                self.held.remove(claimed)
                self.lost.append(claimed)

    @rule(more=st.integers(0, 2))
    def extend(self, more: int) -> None:
        with self.database.read() as session:
            row = session.get_one(Experiment, self.number)
            trials, stopped, state = row.trials_total, row.stopped_at, row.state
        if trials + more > 8:
            return
        try:
            with self.database.write() as session:
                extending.extend(session, self.settings, self.number, trials + more, bench.AT)
        except errors.Conflict:
            assert state in ("failed", "cancelled") or (stopped and state != "done")
        except errors.Invalid:
            assert more == 0 and not stopped

    @rule()
    def cancel(self) -> None:
        try:
            with self.database.write() as session:
                experiments.cancel(session, self.number, bench.AT)
        except errors.Conflict:
            assert self.state in ("done", "failed")

    @rule()
    def retry(self) -> None:
        try:
            with self.database.write() as session:
                experiments.retry(session, self.settings, self.number, bench.AT)
        except errors.Conflict:
            assert self.state not in ("failed", "cancelled")

    @property
    def state(self) -> str:
        with self.database.read() as session:
            return session.get_one(Experiment, self.number).state

    @invariant()
    def books_are_right(self) -> None:
        if not hasattr(self, "database"):
            return
        with self.database.read() as session:
            experiment = session.get_one(Experiment, self.number)
            trials = list(session.scalars(select(Trial.state)))
            numbers = list(session.scalars(select(Trial.number).order_by(Trial.number)))
            job_states = list(
                session.scalars(select(Job.state).where(Job.experiment_id == self.number))
            )
            counts = session.execute(
                select(Outcome.trial_id, func.count()).group_by(Outcome.trial_id)
            ).all()
            running = {j.id for j in session.scalars(select(Job).where(Job.state == "running"))}
        assert numbers == list(range(experiment.trials_total))
        assert experiment.trials_total == experiment.spec["trials"]
        assert len(counts) == trials.count("done")
        assert all(count == 2 for _, count in counts)
        assert running == {claimed.lease.job_id for claimed in self.held}
        assert (experiment.state == "done") == (set(job_states) <= {"done", "skipped"})
        assert experiment.stopped_at or "skipped" not in {*trials, *job_states}
        assert experiment.stopped_at is None or "queued" not in job_states
        assert (experiment.state == "running") >= ("running" in job_states)
        if experiment.state in states.FINAL:
            assert experiment.finished_at is not None
            assert set(job_states) <= states.FINAL


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
