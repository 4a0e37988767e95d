"""Results to take away: bundles and flat tables, as links of the pages of what they are of."""

from fastapi import APIRouter, Query, Request, Response

from app.api.bundles import address, sent, table
from app.services import bundles
from app.web.doors import Reading, StoreOf

router = APIRouter()


@router.get("/studies/{study_id}/bundle.zip")
def of_study(
    request: Request, session: Reading, store: StoreOf, study_id: int, poisons: bool = Query(False)
) -> Response:
    made = bundles.of_study(session, study_id, address(request))
    return sent(bundles.write(made, store, f"dosimeter-study-{study_id}.zip", poisons))


@router.get("/experiments/{experiment_id}/bundle.zip")
def of_experiment(
    request: Request,
    session: Reading,
    store: StoreOf,
    experiment_id: int,
    poisons: bool = Query(False),
) -> Response:
    made = bundles.of_experiment(session, experiment_id, address(request))
    return sent(bundles.write(made, store, f"dosimeter-experiment-{experiment_id}.zip", poisons))


@router.get("/studies/{study_id}/outcomes.csv")
def outcomes_of_study(request: Request, session: Reading, study_id: int) -> Response:
    made = bundles.of_study(session, study_id, address(request))
    return table(bundles.outcomes_csv(made), f"dosimeter-study-{study_id}-outcomes.csv")


@router.get("/experiments/{experiment_id}/outcomes.csv")
def outcomes_of_experiment(request: Request, session: Reading, experiment_id: int) -> Response:
    made = bundles.of_experiment(session, experiment_id, address(request))
    return table(bundles.outcomes_csv(made), f"dosimeter-experiment-{experiment_id}-outcomes.csv")
