"""Leaderboards over REST."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import TypeAdapter

from app.api import examples
from app.api.doors import DatabaseOf
from app.board_schemas import Leaderboard, LeaderboardTitle
from app.queries import leaderboards, ranks
from poisoning.spec import Profile

router = APIRouter(tags=["leaderboards"])
EVERY = TypeAdapter(list[Leaderboard])
DatasetName = Annotated[str | None, Query(max_length=80)]


@router.get(
    "/leaderboards",
    response_model=list[Leaderboard],
    responses=examples.ok([examples.UNRANKED_BOARD]),
)
def index(
    database: DatabaseOf, dataset: DatasetName = None, profile: Profile | None = None
) -> Response:
    """One board per protocol, the fullest first; a trial counts once however often it was run.

    Without ranks: a board that is read by its key has them.
    """
    with database.read() as session:
        found = leaderboards.page(session, dataset, profile)
    # many megabytes: written once, not turned into a tree that is checked again
    return Response(EVERY.dump_json(found), media_type="application/json")


@router.get("/leaderboards/titles", responses=examples.ok([examples.BOARD_TITLE]))
def titles(
    database: DatabaseOf, dataset: DatasetName = None, profile: Profile | None = None
) -> list[LeaderboardTitle]:
    """What boards there are, the fullest first, without what is on them."""
    with database.read() as session:
        found = leaderboards.index(session)
    return [
        title
        for title in found
        if dataset in (None, title.dataset) and profile in (None, title.profile)
    ]


@router.get("/leaderboards/{key}", responses=examples.ok(examples.BOARD))
def read(key: Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")], database: DatabaseOf) -> Leaderboard:
    """One board by its key, with the ranks of its attacks and the tests they rest on."""
    with database.read() as session:
        return ranks.placed(session, leaderboards.get(session, key))
