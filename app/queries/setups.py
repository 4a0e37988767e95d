"""One setup under every attack that was carried through on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.orm import Session, selectinload

from app import places
from app.models import Experiment, OutcomeSum, Trial
from app.queries import titles, trials
from app.schemas import TrialView
from poisoning import catalog


class UnderAttack(BaseModel):
    """The newest trial of one attack, with its knobs and surrogates, on a setup."""

    attack: str
    title: str
    knobs: dict[str, Any]
    surrogates: list[str]
    budget: str  # as the catalogue names it
    trial: TrialView
    others: list[tuple[int, int]]  # experiment and number of earlier trials of the same


def under_every_attack(session: Session, trial: TrialView, dataset: str) -> list[UnderAttack]:
    """Every attack on the setup of ``trial``: controls first, then as the catalogue has them.

    The same setup: the same data set, number, target, base class and bases.
    """
    same = _same(session, trial, dataset)
    models = titles.checkpoint_models(session)
    its = _loaded(session, [rows[0].id for rows in same])
    found = [_view(*its[rows[0].id], rows[1:], models) for rows in same]
    order = {name: place for place, name in enumerate(catalog.ATTACKS)}
    return sorted(
        found,
        key=lambda one: (
            not places.is_control(one.attack),
            order.get(one.attack, len(order)),
            one.trial.experiment_id,
        ),
    )


@dataclass(frozen=True)
class Carried:
    """A trial on the setup, without what it found."""

    id: int
    experiment_id: int
    number: int


def _same(session: Session, trial: TrialView, dataset: str) -> list[list[Carried]]:
    """For each attack with its knobs and surrogates its trials, newest first.

    Bases are compared here: databases do not compare lists alike.
    """
    row_key = (
        select(func.min(OutcomeSum.row_key))
        .where(OutcomeSum.experiment_id == Trial.experiment_id)
        .scalar_subquery()
    )
    rows = session.execute(
        select(row_key, Trial.base_indices, Trial.id, Trial.experiment_id, Trial.number)
        .join(Experiment, Trial.experiment_id == Experiment.id)
        .where(
            Experiment.dataset == dataset,
            Trial.number == trial.number,
            Trial.state == "done",
            Trial.target_index == trial.target_index,
            Trial.base_class == trial.base_class,
        )
        .order_by(Trial.id.desc())
    )
    found: dict[str, list[Carried]] = {}
    for key, bases, *its in rows:
        if bases == trial.base_indices:
            found.setdefault(key, []).append(Carried(*its))
    return list(found.values())


def _loaded(session: Session, ids: Sequence[int]) -> dict[int, tuple[Experiment, Trial]]:
    rows = session.execute(
        select(Experiment, Trial)
        .join(Trial, Trial.experiment_id == Experiment.id)
        .where(Trial.id.in_(ids))
        .options(selectinload(Trial.outcomes), selectinload(Trial.poison_set))
    )
    return {trial.id: (experiment, trial) for experiment, trial in rows}


def _view(
    experiment: Experiment, newest: Trial, others: Sequence[Carried], models: dict[str, str]
) -> UnderAttack:
    known = catalog.ATTACKS.get(experiment.attack)
    knobs = {name: value for name, value in experiment.spec["attack"].items() if name != "name"}
    return UnderAttack(
        attack=experiment.attack,
        title=titles.attack(experiment.attack),
        knobs=knobs,
        surrogates=experiment.spec["surrogates"],
        budget=known.budget if known else "",
        trial=trials.view(newest, experiment, models),
        others=[(other.experiment_id, other.number) for other in others],
    )
