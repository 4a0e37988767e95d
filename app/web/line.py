"""The queue: what runs, what comes next, and how the last ones ended."""

from fastapi import APIRouter, Request, Response

from app.queries import lineup, workers
from app.schemas import QueueView
from app.web.doors import Clock, Reading, SettingsOf
from app.web.render import page
from app.web.words import duration, plural

router = APIRouter()
SHOWN_RUNNING = 64
SHOWN_WAITING = 100
SHOWN_ENDED = 20


@router.get("/queue")
def show(request: Request, session: Reading, now: Clock, settings: SettingsOf) -> Response:
    counts = workers.queue(session, now)
    waiting = lineup.waiting(session, SHOWN_WAITING)
    seen = workers.everyone(session, now, settings.lease_s)
    is_served = any(worker.is_alive for worker in seen)
    return page(
        request,
        "queue/index.html",
        answer=_answer(counts),
        running=lineup.running(session, SHOWN_RUNNING),
        waiting=waiting,
        hidden=max(0, counts.queued - len(waiting)),
        ended=lineup.ended(session, SHOWN_ENDED),
        is_idle=not (counts.queued or counts.running),
        is_stuck=bool(counts.queued) and not is_served,
    )


def _answer(counts: QueueView) -> str:
    runs = plural(counts.running, "job runs", "jobs run") if counts.running else "No job runs"
    if not counts.queued:
        return f"{runs}, and nothing waits." if counts.running else "Nothing runs, nothing waits."
    waits = plural(counts.queued, "waits", "wait")
    since = f", the oldest for {duration(counts.oldest_queued_s)}" if counts.oldest_queued_s else ""
    return f"{runs}, {waits} for a turn{since}."
