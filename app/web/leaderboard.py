"""The leaderboard: one table per protocol."""

from fastapi import APIRouter, Request, Response

from app.errors import NotFound
from app.queries import leaderboards, workers
from app.web.doors import Clock, Reading
from app.web.render import page

router = APIRouter()


@router.get("/leaderboard")
def show(request: Request, session: Reading, now: Clock, board: str | None = None) -> Response:
    every = leaderboards.page(session)
    chosen = next((b for b in every if board in (None, "", b.key)), None)
    if every and chosen is None:
        raise NotFound(f"there is no leaderboard {board!r}")
    queue = workers.queue(session, now)
    return page(
        request,
        "leaderboard/index.html",
        board=chosen,
        every=every,
        is_live=bool(queue.running or queue.queued),
    )
