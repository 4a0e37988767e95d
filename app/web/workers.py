"""Workers: who there is, what each does, how much waits."""

from fastapi import APIRouter, Request, Response

from app.queries import workers
from app.schemas import QueueView
from app.web.doors import Clock, Reading, SettingsOf
from app.web.render import page
from app.web.words import plural

router = APIRouter()


@router.get("/workers")
def show(request: Request, session: Reading, now: Clock, settings: SettingsOf) -> Response:
    seen = workers.everyone(session, now, settings.lease_s)
    queue = workers.queue(session, now)
    alive = sum(worker.is_alive for worker in seen)
    return page(request, "workers/index.html", workers=seen, answer=_answer(alive, queue))


def _answer(alive: int, queue: QueueView) -> str:
    waiting = plural(queue.queued, "job waits", "jobs wait") if queue.queued else "nothing waits"
    if not alive:
        return f"No worker is there; {waiting}."
    busy = plural(queue.running, "job runs", "jobs run") if queue.running else "no job runs"
    return f"{plural(alive, 'worker is', 'workers are')} there: {busy}, {waiting}."
