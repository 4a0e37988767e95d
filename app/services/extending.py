"""More trials for an experiment that has some: those that are done stay what they are.

Which n it was to have was decided after somebody saw what came out, so its intervals are
confidence sequences from then on.
"""

from datetime import datetime

from pydantic import ValidationError
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app import places
from app.errors import Conflict, Invalid, invalid
from app.models import Experiment, Job, OutcomeSum
from app.queries.experiments import find
from app.services import estimate, experiments, idempotency, jobs, states
from app.settings import Settings
from poisoning.spec import ExperimentSpec, spec_hash


def extend(
    session: Session, settings: Settings, experiment_id: int, trials: int, now: datetime
) -> Experiment:
    """Raise an experiment's trials to so many in all, and queue those it does not have.

    One that stopped early takes up what it skipped, and does not stop for that width again.
    Conflict where it is archived, failed, cancelled or about to stop; Invalid names ``trials``.
    """
    row = _locked(session, experiment_id)
    _check(row, trials)
    first, spec = row.trials_total, _with_trials(row, trials)
    experiments.check_data(settings, spec)
    experiments.checkpoints_for(session, settings, spec, now)
    if row.stopped_at is not None:
        row.stopped_at = row.stop_width = None
        jobs.queue_again(session, Job.experiment_id == row.id, ended=("skipped",))
    raw = spec.model_dump(mode="json")
    row.spec, row.spec_hash, row.series = raw, spec_hash(spec), places.series(raw)
    row.trials_total, row.is_sequential = trials, True
    session.flush()
    its = OutcomeSum.experiment_id == row.id
    session.execute(update(OutcomeSum).where(its).values(is_sequential=True))
    if trials > first:
        for numbers in estimate.plan(session, settings, spec, first):
            experiments.add_batch(session, row.id, numbers, now)
    states.settle(session, row.id, now)
    return find(session, experiment_id)


def extend_once(
    session: Session,
    settings: Settings,
    experiment_id: int,
    trials: int,
    now: datetime,
    caller: str,
    key: str | None,
) -> Experiment:
    """``extend``, but a repeated key extends once."""
    if key is None:
        return extend(session, settings, experiment_id, trials, now)
    kept = idempotency.reserve(session, caller, key, ["extend", experiment_id, trials], now)
    if kept.experiment_id is not None:
        return find(session, experiment_id)
    row = extend(session, settings, experiment_id, trials, now)
    kept.experiment_id = row.id
    return row


def _locked(session: Session, experiment_id: int) -> Experiment:
    """The experiment, after its running jobs: a trial that is just being recorded is waited for."""
    row = find(session, experiment_id)
    running = select(Job.id).where(Job.experiment_id == row.id, Job.state == "running")
    session.scalars(running.order_by(Job.id).with_for_update(of=Job)).all()
    session.refresh(row, with_for_update=True)
    return row


def _check(row: Experiment, trials: int) -> None:
    if row.archived_at is not None:
        raise Conflict(f"experiment {row.id} is archived; put it back into the list first")
    if row.state in ("failed", "cancelled"):
        raise Conflict(f"experiment {row.id} is {row.state}; retry it first, then extend it")
    if row.stopped_at is not None and row.state != "done":
        raise Conflict(f"experiment {row.id} is just stopping; extend it in a few seconds")
    least = row.trials_total + (row.stopped_at is None)
    if trials < least:
        has = f"experiment {row.id} has {row.trials_total} trials already"
        raise Invalid.field("trials", has, f"ask for {least} in all, or more")


def _with_trials(row: Experiment, trials: int) -> ExperimentSpec:
    try:
        return ExperimentSpec.model_validate({**row.spec, "trials": trials})
    except ValidationError as problem:
        raise invalid(problem, ExperimentSpec) from None
