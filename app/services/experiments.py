"""Experiments: launched, cancelled, retried, cloned. Each call is one transaction's work."""

from datetime import datetime

from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.errors import Conflict
from app.models import Experiment, ExperimentCheckpoint, Job, Trial
from app.queries.experiments import find
from app.requests import LaunchRequest
from app.services import checkpoints, estimate, fit, idempotency, jobs, states, stopping
from app.services.datasets import check_files, check_setups
from app.settings import Settings
from poisoning import catalog
from poisoning.spec import ExperimentSpec, spec_hash


def launch(
    session: Session,
    settings: Settings,
    request: LaunchRequest,
    now: datetime,
    study_id: int | None = None,
    cloned_from: int | None = None,
    sweep_id: int | None = None,
) -> Experiment:
    """Write an experiment, its trials and its jobs down; the worker does the rest.

    Invalid names the spec's field: files that are not there, a checkpoint nobody knows or that
    does not fit, a batch that does not fit into memory.
    """
    spec = request.spec
    check_data(settings, spec)
    used = checkpoints_for(session, settings, spec, now)
    experiment = Experiment(
        title=request.title.strip() or title_of(spec),
        notes=request.notes,
        tags=list(dict.fromkeys(request.tags)),
        study_id=study_id,
        sweep_id=sweep_id,
        cloned_from=cloned_from,
        spec=spec.model_dump(mode="json"),
        spec_hash=spec_hash(spec),
        attack=spec.attack.name,
        dataset=spec.data.dataset,
        profile=spec.profile,
        precision=spec.precision,
        trials_total=spec.trials,
        stop_width=request.stop_width,
        is_sequential=request.stop_width is not None,
        created_at=now,
    )
    session.add(experiment)
    session.flush()
    session.add_all(
        ExperimentCheckpoint(experiment_id=experiment.id, checkpoint_id=checkpoint_id)
        for checkpoint_id in used
    )
    for numbers in estimate.plan(session, settings, spec):
        add_batch(session, experiment.id, numbers, now)
    states.settle(session, experiment.id, now)
    return experiment


def launch_once(
    session: Session,
    settings: Settings,
    request: LaunchRequest,
    now: datetime,
    caller: str,
    key: str | None,
    cloned_from: int | None = None,
) -> Experiment:
    """``launch``, but a repeated key with the same request gives the same experiment."""
    if key is None:
        return launch(session, settings, request, now, cloned_from=cloned_from)
    row = idempotency.reserve(
        session, caller, key, ["experiments", request.model_dump(mode="json")], now
    )
    if row.experiment_id is not None:
        return find(session, row.experiment_id)
    experiment = launch(session, settings, request, now, cloned_from=cloned_from)
    row.experiment_id = experiment.id
    return experiment


def cancel(session: Session, experiment_id: int, now: datetime) -> Experiment:
    """Stop an experiment: what is queued at once, what runs within seconds."""
    experiment = find(session, experiment_id)
    if experiment.state in ("done", "failed"):
        raise Conflict(f"experiment {experiment_id} is {experiment.state}; it cannot be cancelled")
    jobs.cancel(session, now, Job.experiment_id == experiment_id)
    states.settle(session, experiment_id, now)
    return find(session, experiment_id)


def retry(session: Session, settings: Settings, experiment_id: int, now: datetime) -> Experiment:
    """Queue what a failed or cancelled experiment has not done; finished trials stay."""
    experiment = find(session, experiment_id)
    if experiment.state not in ("failed", "cancelled"):
        raise Conflict(
            f"experiment {experiment_id} is {experiment.state}; there is nothing to retry"
        )
    spec = ExperimentSpec.model_validate(experiment.spec)
    check_data(settings, spec)
    checkpoints_for(session, settings, spec, now)
    jobs.queue_again(session, Job.experiment_id == experiment_id)
    states.settle(session, experiment_id, now)
    stopping.stop_if_narrow(session, experiment_id, now)
    return find(session, experiment_id)


def clone(session: Session, settings: Settings, experiment_id: int, now: datetime) -> Experiment:
    """Launch the same spec again, as an experiment of its own."""
    original = find(session, experiment_id)
    request = LaunchRequest(
        spec=ExperimentSpec.model_validate(original.spec),
        title=original.title,
        notes=original.notes,
        tags=original.tags,
        stop_width=original.stop_width,
    )
    return launch(session, settings, request, now, cloned_from=original.id)


def clone_once(
    session: Session,
    settings: Settings,
    experiment_id: int,
    now: datetime,
    caller: str,
    key: str | None,
) -> Experiment:
    """``clone``, but a repeated key gives the same copy."""
    if key is None:
        return clone(session, settings, experiment_id, now)
    row = idempotency.reserve(session, caller, key, ["clone", experiment_id], now)
    if row.experiment_id is not None:
        return find(session, row.experiment_id)
    experiment = clone(session, settings, experiment_id, now)
    row.experiment_id = experiment.id
    return experiment


def title_of(spec: ExperimentSpec) -> str:
    """ "Bullseye Polytope on CIFAR-10, eps 8/255" """
    title = (
        f"{catalog.attack(spec.attack.name).title} on {catalog.dataset(spec.data.dataset).title}"
    )
    eps = getattr(spec.attack, "eps_255", None)
    return title if eps is None else f"{title}, eps {eps:g}/255"


def check_data(settings: Settings, spec: ExperimentSpec) -> None:
    """Invalid where the files a spec needs are not in the data folder."""
    check_files(settings, spec.data.dataset, "data.dataset")
    check_setups(settings, spec.data.setups, "data.setups")


def checkpoints_for(
    session: Session, settings: Settings, spec: ExperimentSpec, now: datetime
) -> list[int]:
    """Ids of the checkpoints a spec names; those that are only recipes are queued."""
    fit.check(session, spec)
    ids: dict[int, None] = {}
    for field, name in spec.checkpoint_names():
        ids[checkpoints.ensure(session, settings, name, field, now).id] = None
    return list(ids)


def add_batch(session: Session, experiment_id: int, numbers: range, now: datetime) -> None:
    job = Job(kind="trials", experiment_id=experiment_id, created_at=now)
    session.add(job)
    session.flush()
    session.execute(
        insert(Trial),
        [
            {"experiment_id": experiment_id, "job_id": job.id, "number": n, "state": "queued"}
            for n in numbers
        ],
    )
