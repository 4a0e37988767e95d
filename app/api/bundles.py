"""Results to take away over REST: bundles, outcomes as one flat table, provenances."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.responses import StreamingResponse

from app.api import examples
from app.api.doors import DatabaseOf, Id, StoreOf
from app.queries import provenances
from app.schemas import ProvenanceView
from app.services import bundles
from app.services.bundles import Written

router = APIRouter(tags=["bundles"])
WithPoisons = Annotated[
    bool, Query(description="Put the poison sets in too; they are most of its size.")
]
Sha256 = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="Hash of its canonical JSON.")]
Answers = dict[int | str, dict[str, Any]]
ZIP: Answers = {
    200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}
}
CSV: Answers = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}, "example": examples.OUTCOMES_CSV}}}
}
CHUNK = 2**20


def address(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def sent(written: Written) -> Response:
    """A bundle as a download; its file is gone afterwards."""
    return StreamingResponse(
        _chunks(written), media_type="application/zip", headers=written.headers
    )


def _chunks(written: Written) -> Iterator[bytes]:
    with written.file:
        while chunk := written.file.read(CHUNK):
            yield chunk


def table(text: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type="text/csv", headers=headers)


@router.get("/studies/{study_id}/bundle", response_class=Response, responses=ZIP)
def of_study(
    study_id: Id,
    request: Request,
    database: DatabaseOf,
    store: StoreOf,
    with_poisons: WithPoisons = False,
) -> Response:
    """A study as one zip file that can be verified elsewhere: specs, outcomes, tables, hashes."""
    with database.read() as session:
        made = bundles.of_study(session, study_id, address(request))
    return sent(bundles.write(made, store, f"dosimeter-study-{study_id}.zip", with_poisons))


@router.get("/experiments/{experiment_id}/bundle", response_class=Response, responses=ZIP)
def of_experiment(
    experiment_id: Id,
    request: Request,
    database: DatabaseOf,
    store: StoreOf,
    with_poisons: WithPoisons = False,
) -> Response:
    """An experiment as one zip file that can be verified elsewhere."""
    with database.read() as session:
        made = bundles.of_experiment(session, experiment_id, address(request))
    name = f"dosimeter-experiment-{experiment_id}.zip"
    return sent(bundles.write(made, store, name, with_poisons))


@router.get("/studies/{study_id}/outcomes.csv", response_class=Response, responses=CSV)
def outcomes_of_study(study_id: Id, request: Request, database: DatabaseOf) -> Response:
    """Every outcome of a study, one a line, with what was asked and under what it was made."""
    with database.read() as session:
        made = bundles.of_study(session, study_id, address(request))
    return table(bundles.outcomes_csv(made), f"dosimeter-study-{study_id}-outcomes.csv")


@router.get("/experiments/{experiment_id}/outcomes.csv", response_class=Response, responses=CSV)
def outcomes_of_experiment(experiment_id: Id, request: Request, database: DatabaseOf) -> Response:
    """Every outcome of an experiment, one a line."""
    with database.read() as session:
        made = bundles.of_experiment(session, experiment_id, address(request))
    return table(bundles.outcomes_csv(made), f"dosimeter-experiment-{experiment_id}-outcomes.csv")


@router.get("/provenances/{sha256}", responses=examples.ok(examples.PROVENANCE))
def provenance(sha256: Sha256, database: DatabaseOf) -> ProvenanceView:
    """Under what trials were crafted or judged: program, versions, device, precision, data."""
    with database.read() as session:
        return provenances.get(session, sha256)
