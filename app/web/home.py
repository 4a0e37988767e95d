"""The first page: what the numbers mean, what was found, what is going on."""

import uuid
from datetime import datetime

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from app.queries import experiments, leaderboards, workers
from app.queries.experiments import Filters
from app.schemas import ExperimentDetail
from app.web.doors import Clock, Reading, SettingsOf
from app.web.render import page

router = APIRouter()
SHOWN_RUNNING = 3


@router.get("/")
def home(request: Request, session: Reading, now: Clock, settings: SettingsOf) -> Response:
    boards = leaderboards.page(session)
    running = _under_way(session, now)
    summary = workers.queue(session, now)
    seen = workers.everyone(session, now, settings.lease_s)
    return page(
        request,
        "home/index.html",
        board=boards[0] if boards else None,
        running=running,
        queued=len(experiments.page(session, Filters(state="queued"), limit=200).items),
        no_worker=not any(worker.is_alive for worker in seen),
        recent=experiments.page(session, limit=8).items,
        is_live=bool(running or summary.queued or summary.running),
        key=uuid.uuid4().hex,
    )


def _under_way(session: Session, now: datetime) -> list[ExperimentDetail]:
    """The experiments a worker is at, and those whose extractor is being trained."""
    found = [
        item
        for state in ("running", "waiting")
        for item in experiments.page(session, Filters(state=state), limit=SHOWN_RUNNING).items
    ]
    oldest_first = sorted(found, key=lambda item: item.id)[:SHOWN_RUNNING]
    return [experiments.get(session, item.id, now) for item in oldest_first]
