"""Checkpoints over REST: the catalogue, training one, bringing one in."""

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Path, Query, Response

from app import queue
from app.api import brought as forms
from app.api import examples
from app.api.brought import Brought
from app.api.doors import Caller, Clock, Cursor, DatabaseOf, Key, Limit, SettingsOf, StoreOf
from app.paging import DEFAULT_LIMIT
from app.queries import checkpoints as queries
from app.requests import PretrainRequest
from app.schemas import CheckpointView, Launched, Page
from app.services import checkpoints, idempotency

router = APIRouter(tags=["checkpoints"])
State = Literal["queued", "training", "ready", "failed", "cancelled"]
Name = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_.-]{0,119}$")]
EXAMPLE = {"name": "convnet3-digits_0_4-s0"}


@router.get("/checkpoints", responses=examples.ok(examples.page(examples.CHECKPOINT)))
def index(
    database: DatabaseOf,
    state: State | None = None,
    model: Annotated[str | None, Query(max_length=80)] = None,
    dataset: Annotated[str | None, Query(max_length=80)] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Page[CheckpointView]:
    """Checkpoints in the order they were asked for."""
    filters = queries.Filters(state=state, model=model, dataset=dataset)
    with database.read() as session:
        return queries.page(session, filters, cursor, limit)


@router.get("/checkpoints/{name}", responses=examples.ok(examples.CHECKPOINT))
def read(name: Name, database: DatabaseOf) -> CheckpointView:
    """One checkpoint: how it was trained, and its clean accuracy."""
    with database.read() as session:
        return queries.get(session, name)


@router.post(
    "/checkpoints", status_code=202, responses=examples.ok(examples.CHECKPOINT_LAUNCHED, 202)
)
def train(
    body: Annotated[PretrainRequest, Body(examples=[EXAMPLE])],
    database: DatabaseOf,
    settings: SettingsOf,
    now: Clock,
    caller: Caller,
    response: Response,
    key: Key = None,
) -> Launched:
    """Train a checkpoint: a known recipe by its name, or a spec of your own under a new name."""
    with database.write() as session:
        if key is not None:
            request = ["checkpoints", body.model_dump(mode="json")]
            idempotency.reserve(session, caller, key, request, now)
        row = checkpoints.train(session, settings, body.name, body.spec, now)
        launched = Launched(
            id=row.id,
            url=f"/api/v1/checkpoints/{row.name}",
            title=row.name,
            created_at=row.created_at,
        )
    queue.notify(settings)
    response.headers["Location"] = launched.url
    return launched


@router.post(
    "/checkpoints/import",
    status_code=202,
    responses=examples.ok(forms.EXAMPLE, 202),
    openapi_extra=forms.DESCRIBED,
)
def bring_in(
    brought: Brought,
    database: DatabaseOf,
    settings: SettingsOf,
    store: StoreOf,
    now: Clock,
    response: Response,
) -> CheckpointView:
    """Bring a checkpoint in: with the card another Dosimeter wrote it is ready at once; weights
    trained elsewhere are named by `name`, `model` and `dataset`, read by a worker as tensors only,
    and have a measured clean accuracy once they are ready. Sending the same again is harmless."""
    with database.write() as session:
        row = forms.take_in(session, store, settings, brought, now)
        taken = queries.get(session, row.name)
    queue.notify(settings)
    response.headers["Location"] = f"/api/v1/checkpoints/{taken.name}"
    return taken


@router.post("/checkpoints/{name}/retry", responses=examples.ok(examples.CHECKPOINT))
def retry(name: Name, database: DatabaseOf, settings: SettingsOf) -> CheckpointView:
    """Queue one again that failed or was cancelled."""
    with database.write() as session:
        checkpoints.retry(session, name)
        found = queries.get(session, name)
    queue.notify(settings)
    return found


@router.post("/checkpoints/{name}/cancel", responses=examples.ok(examples.CHECKPOINT))
def cancel(name: Name, database: DatabaseOf, now: Clock) -> CheckpointView:
    """Stop what makes it; experiments that wait for it fail and say so."""
    with database.write() as session:
        checkpoints.cancel(session, name, now)
        return queries.get(session, name)
