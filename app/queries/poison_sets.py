"""What is known of a stored poison set."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.models import PoisonSet, Trial
from app.schemas import PoisonSetView


def get(session: Session, sha256: str) -> PoisonSetView:
    """A poison set by its hash; NotFound where no trial has it."""
    row = session.scalar(select(PoisonSet).where(PoisonSet.sha256 == sha256))
    if row is None:
        raise NotFound(f"there is no poison set {sha256}")
    trials = session.scalars(
        select(Trial.id).where(Trial.poison_set_id == row.id).order_by(Trial.id)
    )
    return PoisonSetView(
        sha256=row.sha256,
        images=row.images,
        size_bytes=row.size_bytes,
        trial_ids=list(trials),
        created_at=row.created_at,
    )
