"""Under what results were made."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.models import Provenance
from app.schemas import ProvenanceView


def get(session: Session, sha256: str) -> ProvenanceView:
    row = session.scalar(select(Provenance).where(Provenance.sha256 == sha256))
    if row is None:
        raise NotFound(f"there is no provenance {sha256}")
    return ProvenanceView(sha256=row.sha256, data=row.data)


def of(session: Session, hashes: Collection[str]) -> dict[str, ProvenanceView]:
    """By their hash."""
    rows = session.scalars(select(Provenance).where(Provenance.sha256.in_(hashes)))
    return {row.sha256: ProvenanceView(sha256=row.sha256, data=row.data) for row in rows}
