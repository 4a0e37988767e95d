"""Pages that follow an experiment: server-sent events that say "something changed", no more.

The event's id is a digest of what can be seen, so a browser that reconnects with Last-Event-ID
gets an event only if it missed something. What changed, the page fetches itself.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from app.api.doors import DatabaseOf, Id
from app.db import Database
from app.models import Experiment, ExperimentCheckpoint, Job, LogLine, Trial
from app.queries.experiments import find
from app.services.states import FINAL
from poisoning.spec import digest

router = APIRouter(include_in_schema=False)
POLL_S = 1.0
SILENT_POLLS = 15  # then a comment keeps proxies from closing the line


@router.get("/live/experiments/{experiment_id}")
def follow(request: Request, experiment_id: Id, database: DatabaseOf) -> StreamingResponse:
    """Events until the experiment has ended, the reader is gone, or the server is to stop."""
    with database.read() as session:
        find(session, experiment_id)
    seen = request.headers.get("last-event-id", "")
    return StreamingResponse(
        _events(request, database, experiment_id, seen),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(
    request: Request, database: Database, experiment_id: int, seen: str
) -> AsyncIterator[str]:
    yield f"retry: {int(2000 * POLL_S)}\n\n"
    silent = 0
    while not (request.app.state.stopping or await request.is_disconnected()):
        signal = await run_in_threadpool(_look, database, experiment_id)
        mark = digest(signal)[:16]
        if mark != seen:
            seen, silent = mark, 0
            yield f"id: {mark}\nevent: changed\ndata: {json.dumps(signal)}\n\n"
        if signal["state"] in FINAL:
            yield f"id: {mark}\nevent: ended\ndata: {json.dumps(signal)}\n\n"
            return
        silent += 1
        if silent % SILENT_POLLS == 0:
            yield ": still here\n\n"
        await asyncio.sleep(POLL_S)


def _look(database: Database, experiment_id: int) -> dict[str, Any]:
    with database.read() as session:
        return signal(session, experiment_id)


def signal(session: Session, experiment_id: int) -> dict[str, Any]:
    """Everything that would make the page look different, in a few numbers."""
    used = select(ExperimentCheckpoint.checkpoint_id).where(
        ExperimentCheckpoint.experiment_id == experiment_id
    )
    its = (Job.experiment_id == experiment_id) | Job.checkpoint_id.in_(used)
    state = session.scalar(select(Experiment.state).where(Experiment.id == experiment_id))
    beats = session.scalar(select(func.coalesce(func.sum(Job.beats), 0)).where(its))
    line = session.scalar(
        select(func.max(LogLine.id)).where(LogLine.job_id.in_(select(Job.id).where(its)))
    )
    done = session.scalar(
        select(func.count()).where(Trial.experiment_id == experiment_id, Trial.state == "done")
    )
    ending = session.scalar(
        select(func.count()).where(its, Job.state == "running", Job.cancel_requested)
    )
    return {
        "state": state,
        "trials_done": done,
        "beats": int(beats or 0),
        "line": line or 0,
        "ending": ending,
    }
