"""One trial: the target, what each victim and its twin call it, the poisons beside their bases."""

from dataclasses import dataclass

from fastapi import APIRouter, Query, Request, Response

from app.queries import experiments, trials
from app.schemas import OutcomeView, TrialView
from app.storage import NotStored, Store
from app.web import images, words
from app.web.doors import Clock, Reading, StoreOf
from app.web.render import page

router = APIRouter()
ZOOMS = (2, 3, 4, 6)
OPEN = ("queued", "running", "waiting")
MAX_COLUMNS = 200
POISON_PX, TARGET_PX = 128, 192  # about as large as drawn, in whole multiples of the image


@dataclass(frozen=True)
class Column:
    """One poison: where its three pictures are."""

    index: int
    base: str | None
    poison: str
    difference: str | None


@dataclass(frozen=True)
class Gallery:
    """What the page draws; sizes are whole multiples of the image's own."""

    target: str
    columns: list[Column]
    factor: int
    zoom: int
    side: int
    large: int
    hidden: int


@router.get("/experiments/{experiment_id}/trials/{number}")
def show(
    request: Request,
    session: Reading,
    store: StoreOf,
    now: Clock,
    experiment_id: int,
    number: int,
    zoom: int | None = Query(None, ge=1, le=8),
) -> Response:
    item = experiments.get(session, experiment_id, now)
    trial = trials.get(session, experiment_id, number)
    shown = gallery(store, trial, zoom)
    return page(
        request,
        "trials/detail.html",
        item=item,
        trial=trial,
        answer=answer(trial),
        gallery=shown,
        zoom=shown.zoom if shown else None,
        zooms=ZOOMS,
        before=number - 1 if number > 0 else None,
        after=number + 1 if number + 1 < item.trials_total else None,
        is_live=item.state in OPEN and trial.state in OPEN,
    )


def answer(trial: TrialView) -> str:
    """The page's first line: who is fooled, and whether the poisons did it."""
    if trial.state != "done":
        return f"Trial {trial.number} is {trial.state}."
    return " ".join(_sentence(trial, outcome) for outcome in trial.outcomes)


def _sentence(trial: TrialView, outcome: OutcomeView) -> str:
    who = words.access(outcome.access).lower().replace(" ", "-")
    if not outcome.success:
        return f"The {who} victim is not fooled: it calls the target {outcome.prediction_name}."
    twin = (
        "so does its clean twin, so the poisons need not be the cause"
        if outcome.twin_success
        else f"its clean twin calls it {outcome.twin_prediction_name}"
    )
    return (
        f"The {who} victim is fooled: it calls the target, {trial.target_name}, "
        f"{outcome.prediction_name} with {words.percent(outcome.confidence)} % confidence; {twin}."
    )


def gallery(store: Store, trial: TrialView, zoom: int | None) -> Gallery | None:
    """Where the pictures of a trial are; None where its poison set is not on this server."""
    if trial.poison_set is None:
        return None
    try:
        pictures = images.find(store, trial.poison_set)
    except NotStored:
        return None
    zoom = zoom or max(1, POISON_PX // pictures.size)
    root = f"/poison-sets/{trial.poison_set}"
    indices = trial.base_indices or []
    columns = [
        Column(
            index=indices[j] if j < len(indices) else j,
            base=f"{root}/base/{j}.png" if pictures.bases is not None else None,
            poison=f"{root}/poison/{j}.png",
            difference=f"{root}/difference/{j}.png" if pictures.bases is not None else None,
        )
        for j in range(min(len(pictures.poisons), MAX_COLUMNS))
    ]
    return Gallery(
        target=f"{root}/target/0.png",
        columns=columns,
        factor=pictures.factor,
        zoom=zoom,
        side=pictures.size * zoom,
        large=pictures.size * max(1, TARGET_PX // pictures.size),
        hidden=len(pictures.poisons) - len(columns),
    )
