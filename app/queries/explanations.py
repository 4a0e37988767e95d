"""Why victims were fooled, as stored."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Explanation, Outcome
from poisoning import events


def of_trial(session: Session, trial_id: int) -> dict[int, events.Explanation]:
    """By the victim's position; victims judged before there were explanations have none."""
    found = session.execute(
        select(Outcome.victim, Explanation.data)
        .join(Explanation, Explanation.outcome_id == Outcome.id)
        .where(Outcome.trial_id == trial_id)
        .order_by(Outcome.victim)
    )
    return {victim: events.Explanation.model_validate(data) for victim, data in found}
