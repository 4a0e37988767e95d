"""Leaderboards over REST."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from app.api import examples
from app.api.doors import DatabaseOf
from app.board_schemas import Leaderboard
from app.queries import leaderboards
from poisoning.spec import Profile

router = APIRouter(tags=["leaderboards"])


@router.get("/leaderboards", responses=examples.ok([examples.BOARD]))
def index(
    database: DatabaseOf,
    dataset: Annotated[str | None, Query(max_length=80)] = None,
    profile: Profile | None = None,
) -> list[Leaderboard]:
    """One board per protocol, the fullest first; a trial counts once however often it was run."""
    with database.read() as session:
        return leaderboards.page(session, dataset, profile)


@router.get("/leaderboards/{key}", responses=examples.ok(examples.BOARD))
def read(key: Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")], database: DatabaseOf) -> Leaderboard:
    """One board by its key."""
    with database.read() as session:
        return leaderboards.get(session, key)
