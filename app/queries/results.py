"""The finished trials of a study as the science counts them.

Thousands of rows at a time: they were validated when they were written, and are not again.
"""

from collections import defaultdict
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Experiment, Outcome, Trial
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


def of_study(session: Session, study_id: int) -> list[Results]:
    """One for each of its experiments, in the order they were launched."""
    found = session.execute(
        select(Experiment.id, Experiment.title, Experiment.spec)
        .where(Experiment.study_id == study_id)
        .order_by(Experiment.id)
    ).all()
    trials = _trials(session, [row.id for row in found])
    return [
        Results(row.title, ExperimentSpec.model_validate(row.spec), trials[row.id]) for row in found
    ]


def _trials(session: Session, experiments: list[int]) -> dict[int, list[TrialDone]]:
    outcomes = _outcomes(session, experiments)
    made: dict[int, list[TrialDone]] = defaultdict(list)
    chosen = Trial.experiment_id.in_(experiments), Trial.state == "done"
    for row in session.execute(select(*_TRIAL).where(*chosen).order_by(Trial.number)).mappings():
        setup = {name: row[name] for name in Setup.model_fields}
        setup["base_indices"] = tuple(setup["base_indices"] or ())
        done = TrialDone.model_construct(
            index=row["number"],
            setup=Setup.model_construct(**setup),
            poison_set="",
            poison_set_hash="",
            outcomes=tuple(outcomes[row["id"]]),
            **{name: row[name] for name in TrialDone.model_fields if name in row},
        )
        made[row["experiment_id"]].append(done)
    return made


def _outcomes(session: Session, experiments: list[int]) -> dict[int, list[OutcomeResult]]:
    made: dict[int, list[OutcomeResult]] = defaultdict(list)
    statement = (
        select(*_OUTCOME)
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
                **{name: row[name] for name in _SAME},
            )
        )
    return made
