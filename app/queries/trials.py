"""Trials with their outcomes."""

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from app import paging
from app.errors import NotFound
from app.models import Experiment, Outcome, Trial
from app.queries import titles
from app.queries.experiments import find as find_experiment
from app.schemas import OutcomeView, Page, TrialView

LIST = "trials"
LOADED = (
    selectinload(Trial.outcomes).selectinload(Outcome.provenance),
    selectinload(Trial.poison_set),
    selectinload(Trial.provenance),
)


def page(
    session: Session,
    experiment_id: int,
    cursor: str | None = None,
    limit: int = paging.DEFAULT_LIMIT,
    state: str | None = None,
) -> Page[TrialView]:
    """The trials of one experiment, by number."""
    experiment = find_experiment(session, experiment_id)
    marks = {"experiment": experiment_id, "state": state}
    after = paging.decode(LIST, marks, cursor)
    statement = (
        select(Trial)
        .where(Trial.experiment_id == experiment_id)
        .options(*LOADED)
        .order_by(Trial.number)
        .limit(limit + 1)
    )
    if after is not None:
        statement = statement.where(Trial.number > after)
    if state is not None:
        statement = statement.where(Trial.state == state)
    rows = session.scalars(statement).all()
    models = titles.checkpoint_models(session)
    return paging.cut(
        rows,
        limit,
        lambda row: paging.encode(LIST, marks, row.number),
        lambda shown: [view(row, experiment, models) for row in shown],
    )


def newest(session: Session, experiment_id: int, limit: int) -> list[TrialView]:
    """The trials of one experiment that were finished last, the latest first."""
    experiment = find_experiment(session, experiment_id)
    rows = session.scalars(
        select(Trial)
        .where(Trial.experiment_id == experiment_id, Trial.state == "done")
        .options(*LOADED)
        .order_by(Trial.finished_at.desc(), Trial.number.desc())
        .limit(limit)
    ).all()
    models = titles.checkpoint_models(session)
    return [view(row, experiment, models) for row in rows]


def get(session: Session, experiment_id: int, number: int) -> TrialView:
    """One trial by its experiment and number; NotFound where there is none."""
    experiment = find_experiment(session, experiment_id)
    trial = session.scalar(
        select(Trial).where(Trial.experiment_id == experiment_id, Trial.number == number)
        if 0 <= number < 2**31
        else select(Trial).where(Trial.id == -1)
    )
    if trial is None:
        raise NotFound(f"experiment {experiment_id} has no trial {number}")
    return view(trial, experiment, titles.checkpoint_models(session))


def made_under(trial: TrialView) -> set[str]:
    """The provenances it names."""
    named = {trial.provenance, *(outcome.provenance for outcome in trial.outcomes)}
    return {sha256 for sha256 in named if sha256}


def view(trial: Trial, experiment: Experiment, models: dict[str, str]) -> TrialView:
    dataset = experiment.dataset
    return TrialView(
        id=trial.id,
        experiment_id=trial.experiment_id,
        number=trial.number,
        state=trial.state,
        target_class=trial.target_class,
        target_name=titles.class_name(dataset, trial.target_class),
        target_index=trial.target_index,
        base_class=trial.base_class,
        base_name=titles.class_name(dataset, trial.base_class),
        base_indices=trial.base_indices,
        poison_set=trial.poison_set.sha256 if trial.poison_set else None,
        craft_hash=trial.craft_hash,
        craft_seconds=trial.craft_seconds,
        craft_device_seconds=trial.craft_device_seconds,
        provenance=trial.provenance.sha256 if trial.provenance else None,
        linf_255=trial.linf_255,
        mean_l2=trial.mean_l2,
        ssim=trial.ssim,
        final_loss=trial.final_loss,
        outcomes=[_outcome(outcome, experiment, models) for outcome in trial.outcomes],
    )


def _outcome(row: Outcome, experiment: Experiment, models: dict[str, str]) -> OutcomeView:
    victim = experiment.spec["victims"][row.victim]
    plain = {
        name: getattr(row, name)
        for name in OutcomeView.model_fields
        if name not in ("title", "prediction_name", "twin_prediction_name", "provenance")
    }
    return OutcomeView(
        **plain,
        title=titles.victim(victim, models),
        provenance=row.provenance.sha256 if row.provenance else None,
        prediction_name=titles.class_name(experiment.dataset, row.prediction) or "",
        twin_prediction_name=titles.class_name(experiment.dataset, row.twin_prediction) or "",
    )
