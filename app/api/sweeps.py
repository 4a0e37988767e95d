"""Sweeps over REST: launch, list, read with curve and ED50, cancel, retry, estimate."""

from typing import Annotated

from fastapi import APIRouter, Body, Query, Response

from app import queue
from app.api import examples, sweep_examples
from app.api.doors import Caller, Clock, Cursor, DatabaseOf, Id, Key, Limit, SettingsOf
from app.paging import DEFAULT_LIMIT
from app.queries import sweeps as queries
from app.requests import SweepRequest
from app.schemas import Estimate, Launched, Page
from app.services import sweeps
from app.sweep_schemas import SweepDetail, SweepSummary

router = APIRouter(tags=["sweeps"])
Launch = Annotated[SweepRequest, Body(examples=sweep_examples.LAUNCHES)]
With = Annotated[
    list[Annotated[int, Query(ge=1, lt=2**31)]],
    Query(
        alias="with",
        default_factory=list,
        max_length=8,
        description="Sweeps of poisons on other training set sizes to lay over it; the answer's "
        "'unit' says whether to count poisons or to take their share.",
    ),
]


@router.post("/sweeps", status_code=202, responses=examples.ok(sweep_examples.LAUNCHED, 202))
def launch(
    body: Launch,
    database: DatabaseOf,
    settings: SettingsOf,
    now: Clock,
    caller: Caller,
    response: Response,
    key: Key = None,
) -> Launched:
    """Launch one field of an experiment at several values, all of it or nothing."""
    with database.write() as session:
        row = sweeps.launch_once(session, settings, body, now, caller, key)
        launched = Launched(
            id=row.id, url=f"/api/v1/sweeps/{row.id}", title=row.title, created_at=row.created_at
        )
    queue.notify(settings)
    response.headers["Location"] = launched.url
    return launched


@router.post("/sweeps/estimates", responses=examples.ok(examples.ESTIMATE))
def estimate(body: Launch, database: DatabaseOf, settings: SettingsOf) -> Estimate:
    """What a launch would cost with all its experiments; nothing is launched."""
    with database.read() as session:
        return sweeps.estimate(session, settings, body)


@router.get("/sweeps", responses=examples.ok(examples.page(sweep_examples.SWEEP)))
def index(
    database: DatabaseOf, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[SweepSummary]:
    """Sweeps, the newest first."""
    with database.read() as session:
        return queries.page(session, cursor, limit)


@router.get("/sweeps/{sweep_id}", responses=examples.ok(sweep_examples.DETAIL))
def read(sweep_id: Id, database: DatabaseOf, others: With) -> SweepDetail:
    """One sweep: points, fitted curve and the dose half of the targets fall to, by victim."""
    with database.read() as session:
        return queries.laid_over(session, sweep_id, others)[0]


@router.post("/sweeps/{sweep_id}/cancel", responses=examples.ok(sweep_examples.DETAIL))
def cancel(sweep_id: Id, database: DatabaseOf, now: Clock) -> SweepDetail:
    """Stop its experiments and launch no further one. Finished trials stay."""
    with database.write() as session:
        sweeps.cancel(session, sweep_id, now)
        return queries.get(session, sweep_id)


@router.post(
    "/sweeps/{sweep_id}/retry", status_code=202, responses=examples.ok(sweep_examples.DETAIL, 202)
)
def retry(sweep_id: Id, database: DatabaseOf, settings: SettingsOf, now: Clock) -> SweepDetail:
    """Queue what its experiments have not done; an adaptive one goes on where it stopped."""
    with database.write() as session:
        sweeps.retry(session, settings, sweep_id, now)
        found = queries.get(session, sweep_id)
    queue.notify(settings)
    return found
