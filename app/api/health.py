"""Whether the server lives, whether it can work, and what a monitoring system wants to know."""

import shutil
from collections.abc import Iterator

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from pydantic import BaseModel
from sqlalchemy import text
from starlette.responses import PlainTextResponse, Response

from app import auth
from app.api import examples
from app.api.description import PROBLEMS, describe
from app.api.doors import Clock, DatabaseOf, SettingsOf
from app.errors import Unavailable
from app.queries import workers
from app.schemas import QueueView, WorkerView

router = APIRouter(tags=["health"], responses=PROBLEMS)
LOW_DISK_BYTES = 256 * 2**20


class Health(BaseModel):
    status: str


@router.get("/healthz", responses=examples.ok({"status": "ok"}))
@auth.public
def alive() -> Health:
    """The process answers; says nothing else."""
    return Health(status="ok")


@router.get("/readyz", responses=examples.ok({"status": "ready"}))
@auth.public
def ready(database: DatabaseOf, settings: SettingsOf, now: Clock) -> Health:
    """The database can be written, the disk has room, a worker is alive; 503 says which not."""
    with database.write() as session:
        session.execute(text("SELECT 1"))
        alive = [w for w in workers.everyone(session, now, settings.lease_s) if w.is_alive]
    if shutil.disk_usage(settings.root).free < LOW_DISK_BYTES:
        raise Unavailable("the disk is almost full", headers={"Retry-After": "60"})
    if not alive:
        raise Unavailable("no worker is alive", headers={"Retry-After": "5"})
    return Health(status="ready")


@router.get("/metrics", response_class=PlainTextResponse, include_in_schema=False)
def metrics(database: DatabaseOf, settings: SettingsOf, now: Clock) -> Response:
    """Queue, workers and disk in Prometheus' text format."""
    with database.read() as session:
        queue = workers.queue(session, now)
        known = workers.everyone(session, now, settings.lease_s)
    registry = CollectorRegistry()
    registry.register(_Gauges(queue, known, shutil.disk_usage(settings.root).free))
    return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")


@router.get("/api/v1/openapi.json", include_in_schema=False)
def openapi(request: Request) -> dict[str, object]:
    """The description of this API."""
    return describe(request.app)


class _Gauges:
    """What one scrape shows."""

    def __init__(self, queue: QueueView, known: list[WorkerView], disk_free: int) -> None:
        self.queue, self.known, self.disk_free = queue, known, disk_free

    def collect(self) -> Iterator[GaugeMetricFamily]:
        alive = sum(worker.is_alive for worker in self.known)
        for name, about, value in (
            ("jobs_queued", "Jobs that wait for a worker", self.queue.queued),
            ("jobs_running", "Jobs that a worker runs", self.queue.running),
            ("oldest_queued_seconds", "Age of the oldest queued job", self.queue.oldest_queued_s),
            ("workers_alive", "Workers heard from within a lease", alive),
            ("disk_free_bytes", "Room left for artefacts and database", self.disk_free),
        ):
            yield GaugeMetricFamily(f"dosimeter_{name}", about, value=value or 0)
