"""The finished trials of experiments as the science counts them.

Thousands of rows at a time: they were validated when they were written, and are not again.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.models import Experiment, Outcome, PoisonSet, Provenance, Trial
from poisoning.bundle import Ran
from poisoning.events import Extras, Judged, OutcomeResult, Setup, TrialDone
from poisoning.results import Results
from poisoning.spec import ExperimentSpec

_TRIAL = (
    Trial.id, Trial.experiment_id, Trial.number, Trial.target_class, Trial.target_index,
    Trial.base_class, Trial.base_indices, Trial.craft_hash, Trial.craft_seconds, Trial.linf_255,
    Trial.mean_l2, Trial.ssim, Trial.final_loss,
)  # fmt: skip
_SAME = ("victim", "access", "success", "twin_success", "clean_images", "seconds", "outcome_hash")
_OUTCOME = (
    Outcome.trial_id, Outcome.extras, *(getattr(Outcome, name) for name in _SAME),
    *(getattr(Outcome, f"{who}{name}") for who in ("", "twin_") for name in Judged.model_fields),
)  # fmt: skip


# where they are from, which only bundles ask for
_TRIAL_ORIGIN = (
    Trial.craft_device_seconds, Trial.provenance_id, PoisonSet.sha256.label("poison_set_hash"),
)  # fmt: skip
_OUTCOME_ORIGIN = (Outcome.device_seconds, Outcome.provenance_id)
Kept = dict[int | None, dict[str, Any]]  # provenances by id


def of_study(session: Session, study_id: int) -> list[Results]:
    """One for each of its experiments, in the order they were launched."""
    found = session.execute(
        select(Experiment.id, Experiment.title, Experiment.spec, Experiment.is_sequential)
        .where(Experiment.study_id == study_id)
        .order_by(Experiment.id)
    ).all()
    trials = _trials(session, [row.id for row in found])
    return [_results(row, trials) for row in found]


def whole(session: Session, rows: Sequence[Experiment]) -> list[Ran]:
    """These experiments as a bundle has them: with hashes, device time and provenances."""
    numbers = [row.id for row in rows]
    trials = _trials(session, numbers, _kept(session, numbers))
    return [Ran(row.id, row.state, _results(row, trials)) for row in rows]


def _results(row: Any, trials: dict[int, list[TrialDone]]) -> Results:
    spec = ExperimentSpec.model_validate(row.spec)
    return Results(row.title, spec, trials[row.id], row.is_sequential)


def _kept(session: Session, experiments: list[int]) -> Kept:
    crafted = select(Trial.provenance_id).where(Trial.experiment_id.in_(experiments))
    judged = select(Outcome.provenance_id).where(Outcome.experiment_id.in_(experiments))
    found = session.execute(
        select(Provenance.id, Provenance.data).where(
            or_(Provenance.id.in_(crafted), Provenance.id.in_(judged))
        )
    )
    return {row.id: row.data for row in found}


def _trials(
    session: Session, experiments: list[int], kept: Kept | None = None
) -> dict[int, list[TrialDone]]:
    """By experiment; where they are from is left out where no provenances are ``kept``."""
    outcomes = _outcomes(session, experiments, kept)
    made: dict[int, list[TrialDone]] = defaultdict(list)
    statement = select(*_TRIAL)
    if kept is not None:
        statement = select(*_TRIAL, *_TRIAL_ORIGIN).outerjoin(
            PoisonSet, PoisonSet.id == Trial.poison_set_id
        )
    chosen = Trial.experiment_id.in_(experiments), Trial.state == "done"
    for row in session.execute(statement.where(*chosen).order_by(Trial.number)).mappings():
        setup = {name: row[name] for name in Setup.model_fields}
        setup["base_indices"] = tuple(setup["base_indices"] or ())
        done = TrialDone.model_construct(
            index=row["number"],
            setup=Setup.model_construct(**setup),
            poison_set="",
            outcomes=tuple(outcomes[row["id"]]),
            provenance=kept.get(row["provenance_id"]) if kept is not None else None,
            **{"poison_set_hash": ""}
            | {name: row[name] for name in TrialDone.model_fields if name in row},
        )
        made[row["experiment_id"]].append(done)
    return made


def _outcomes(
    session: Session, experiments: list[int], kept: Kept | None
) -> dict[int, list[OutcomeResult]]:
    made: dict[int, list[OutcomeResult]] = defaultdict(list)
    statement = (
        select(*_OUTCOME, *(_OUTCOME_ORIGIN if kept is not None else ()))
        .where(Outcome.experiment_id.in_(experiments))
        .order_by(Outcome.trial_id, Outcome.victim)
    )
    for row in session.execute(statement).mappings():
        stored: dict[str, Any] = row["extras"] or {}
        made[row["trial_id"]].append(
            OutcomeResult.model_construct(
                poisoned=Judged.model_construct(**{n: row[n] for n in Judged.model_fields}),
                twin=Judged.model_construct(**{n: row[f"twin_{n}"] for n in Judged.model_fields}),
                extras=Extras.model_construct(**stored),
                provenance=kept.get(row["provenance_id"]) if kept is not None else None,
                device_seconds=row.get("device_seconds"),
                **{name: row[name] for name in _SAME},
            )
        )
    return made
