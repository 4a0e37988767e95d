"""One setup under every attack that was carried through on it."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from app import places
from app.models import Experiment, Trial
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
    newest: dict[str, list[tuple[Experiment, Trial]]] = {}
    for experiment, row in _same(session, trial, dataset):
        newest.setdefault(places.row(experiment.spec), []).append((experiment, row))
    models = titles.checkpoint_models(session)
    found = [_view(rows, models) for rows in newest.values()]
    order = {name: place for place, name in enumerate(catalog.ATTACKS)}
    return sorted(
        found,
        key=lambda one: (
            not places.is_control(one.attack),
            order.get(one.attack, len(order)),
            one.trial.experiment_id,
        ),
    )


def _same(session: Session, trial: TrialView, dataset: str) -> list[tuple[Experiment, Trial]]:
    """Newest first. Bases are compared here: databases do not compare lists alike."""
    rows = session.execute(
        select(Experiment, Trial)
        .join(Trial, Trial.experiment_id == Experiment.id)
        .where(
            Experiment.dataset == dataset,
            Trial.number == trial.number,
            Trial.state == "done",
            Trial.target_index == trial.target_index,
            Trial.base_class == trial.base_class,
        )
        .options(selectinload(Trial.outcomes), selectinload(Trial.poison_set))
        .order_by(Trial.id.desc())
    )
    return [(experiment, row) for experiment, row in rows if row.base_indices == trial.base_indices]


def _view(rows: Sequence[tuple[Experiment, Trial]], models: dict[str, str]) -> UnderAttack:
    experiment, newest = rows[0]
    known = catalog.ATTACKS.get(experiment.attack)
    knobs = {name: value for name, value in experiment.spec["attack"].items() if name != "name"}
    return UnderAttack(
        attack=experiment.attack,
        title=titles.attack(experiment.attack),
        knobs=knobs,
        surrogates=experiment.spec["surrogates"],
        budget=known.budget if known else "",
        trial=trials.view(newest, experiment, models),
        others=[(row.experiment_id, row.number) for _, row in rows[1:]],
    )
