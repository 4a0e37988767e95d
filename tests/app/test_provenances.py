"""Every outcome keeps the provenance it was made under, whatever its job did later."""

from pathlib import Path
from typing import Any

from alembic import command
from sqlalchemy import func, select, text

from app import db
from app.db import Database
from app.models import Outcome, Provenance, Trial
from app.services import jobs
from app.settings import Settings
from poisoning.events import Started
from poisoning.spec import digest
from tests.app import workbench as bench

HERE: dict[str, Any] = {"hardware": "this machine", "versions": {"torch": "2.11.0"}}
THERE: dict[str, Any] = {"hardware": "another machine", "versions": {"torch": "2.12.1"}}


def start(database: Database, claimed: jobs.Claim, provenance: dict[str, Any]) -> None:
    with database.write() as session:
        jobs.note_started(session, claimed.lease, Started(provenance=provenance))


def claim_trials(database: Database) -> jobs.Claim:
    while (claimed := bench.must_claim(database)).kind == "pretrain":
        bench.pretrain(database, claimed)
    return claimed


def hardware(database: Database) -> list[tuple[int, str, str]]:
    """(trial, under what it was crafted, under what its first victim was judged)."""
    with database.read() as session:
        trials = session.scalars(select(Trial).where(Trial.state == "done").order_by(Trial.number))
        return [
            (one.number, one.provenance.data["hardware"],
             one.outcomes[0].provenance.data["hardware"])
            for one in trials if one.provenance and one.outcomes[0].provenance
        ]  # fmt: skip


def test_an_outcome_of_an_earlier_attempt_keeps_its_machine(
    database: Database, settings: Settings
) -> None:
    bench.launch(database, settings, trials=2)
    first = claim_trials(database)
    start(database, first, HERE)
    bench.record(database, first.lease, bench.trial_done(first, 0))
    with database.write() as session:
        jobs.release(session, first.lease, bench.AT)
    second = bench.must_claim(database, "w2")
    start(database, second, THERE)
    bench.record(database, second.lease, bench.trial_done(second, 1))
    assert hardware(database) == [
        (0, "this machine", "this machine"),
        (1, "another machine", "another machine"),
    ]


def test_what_a_trial_says_of_itself_counts_and_is_kept_once(
    database: Database, settings: Settings
) -> None:
    bench.launch(database, settings, trials=3)
    claimed = claim_trials(database)
    start(database, claimed, {"hardware": "of the job"})
    for index in claimed.indices:
        done = bench.trial_done(claimed, index)
        outcomes = [one.model_copy(update={"provenance": THERE}) for one in done.outcomes]
        changed = {"provenance": HERE, "craft_device_seconds": 1.5, "outcomes": tuple(outcomes)}
        bench.record(database, claimed.lease, done.model_copy(update=changed))
    assert hardware(database) == [(n, "this machine", "another machine") for n in range(3)]
    with database.read() as session:
        assert set(session.scalars(select(Provenance.sha256))) == {digest(HERE), digest(THERE)}
        assert session.scalar(select(func.count()).where(Outcome.provenance_id.is_(None))) == 0
        assert set(session.scalars(select(Trial.craft_device_seconds))) == {1.5}


OLD = """
INSERT INTO experiments (id, title, notes, state, spec, spec_hash, series, regimes, attack, dataset,
    profile, precision, trials_total, tags, created_at)
VALUES (1, 't', '', 'done', '{}', 'x', 's', 'frozen', 'a', 'd', 'quick', 'exact', 2, '[]',
    '2026-01-01');
INSERT INTO jobs (id, kind, state, priority, experiment_id, attempt, failures, beats,
    cancel_requested, created_at, provenance)
VALUES (1, 'trials', 'done', 0, 1, 2, 0, 0, 0, '2026-01-01', '{"hardware": "this machine"}'),
    (2, 'trials', 'done', 0, 1, 1, 0, 0, 0, '2026-01-01', NULL);
INSERT INTO trials (id, experiment_id, job_id, number, state)
VALUES (1, 1, 1, 0, 'done'), (2, 1, 2, 1, 'done');
INSERT INTO outcomes (id, trial_id, experiment_id, victim, access, success, prediction, confidence,
    margin, clean_accuracy, twin_success, twin_prediction, twin_confidence, twin_margin,
    twin_clean_accuracy, clean_images, seconds, outcome_hash)
SELECT id, id, 1, 0, 'white_box', 1, 0, 0.9, 1, 0.9, 0, 1, 0.1, -1, 0.9, 100, 1, 'h' FROM trials
"""


def test_old_rows_take_that_of_their_job_and_say_so(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path / "old")
    database = db.open_database(settings)
    with database.write_engine.begin() as connection:
        command.upgrade(db.alembic_config(connection), "0005")
        for statement in OLD.split(";"):
            connection.execute(text(statement))
    database.close()
    db.migrate(settings)
    database = db.open_database(settings)
    with database.read() as session:
        (kept,) = session.scalars(select(Provenance)).all()
        assert kept.data == {
            "hardware": "this machine",
            "note": "of its job's last attempt (2)",
        }
        assert kept.sha256 == digest(kept.data)
        linked = session.execute(select(Trial.id, Trial.provenance_id).order_by(Trial.id)).all()
        judged = session.execute(select(Outcome.id, Outcome.provenance_id).order_by(Outcome.id))
        assert [tuple(row) for row in linked] == [tuple(row) for row in judged] == [
            (1, kept.id), (2, None),
        ]  # fmt: skip
    database.close()
