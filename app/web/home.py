"""The first page: what the numbers mean, what was found, what is going on."""

import uuid
from datetime import datetime

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from app.paging import MAX_LIMIT
from app.queries import experiments, leaderboards, workers
from app.queries.experiments import Filters
from app.schemas import ExperimentDetail, ExperimentSummary
from app.web.doors import Clock, Reading, SettingsOf
from app.web.render import page

router = APIRouter()
SHOWN_RUNNING = 3


@router.get("/")
def home(request: Request, session: Reading, now: Clock, settings: SettingsOf) -> Response:
    boards = leaderboards.index(session)
    running = _under_way(session, now)
    summary = workers.queue(session, now)
    seen = workers.everyone(session, now, settings.lease_s)
    return page(
        request,
        "home/index.html",
        board=leaderboards.get(session, boards[0].key) if boards else None,
        running=running,
        queued=_count_others(session, running),
        no_worker=not any(worker.is_alive for worker in seen),
        recent=experiments.page(session, limit=8).items,
        is_live=bool(running or summary.queued or summary.running),
        key=uuid.uuid4().hex,
    )


def _under_way(session: Session, now: datetime) -> list[ExperimentDetail]:
    """What a worker is at; before anything runs, the first that waits for its extractor."""
    running = _in_state(session, "running") or _in_state(session, "waiting")[-1:]
    return [experiments.get(session, item.id, now) for item in running[:SHOWN_RUNNING]]


def _count_others(session: Session, shown: list[ExperimentDetail]) -> int:
    """How many experiments are still to come, besides those shown."""
    known = {item.id for item in shown}
    coming = (*_in_state(session, "queued"), *_in_state(session, "waiting"))
    return sum(item.id not in known for item in coming)


def _in_state(session: Session, state: str) -> list[ExperimentSummary]:
    """Newest first."""
    return experiments.page(session, Filters(state=state), limit=MAX_LIMIT).items
