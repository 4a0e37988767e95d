"""Sweeps: the list, and one of them with its answer, its curves and its points."""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from app import queue
from app.queries import sweeps as queries
from app.services import sweeps as service
from app.sweep_schemas import SweepDetail, SweepVictim
from app.web import dose_drawings, words
from app.web.doors import Clock, DatabaseOf, Reading, SettingsOf
from app.web.render import page
from poisoning import catalog
from poisoning.dose import words as doses

router = APIRouter()
OPEN = ("queued", "waiting", "running")
START = "/experiments/new?" + urlencode(
    {"sweep.field": "data.poisons", "sweep.values": "1, 2, 5, 10, 20, 50"}
)
With = Annotated[list[int], Query(alias="with", default_factory=list, max_length=8)]


@router.get("/sweeps")
def index(request: Request, session: Reading, cursor: str = "") -> Response:
    found = queries.page(session, cursor or None)
    return page(
        request,
        "sweeps/index.html",
        found=found,
        start=START,
        fields=doses.FIELDS,
        is_live=any(item.state in OPEN for item in found.items),
    )


@router.get("/sweeps/{sweep_id}")
def show(request: Request, session: Reading, sweep_id: int, others: With) -> Response:
    laid = queries.laid_over(session, sweep_id, others)
    item = laid[0]
    attack = catalog.ATTACKS.get(item.attack)
    return page(
        request,
        "sweeps/detail.html",
        item=item,
        shown=[_shown(laid, victim) for victim in item.victims],
        laid=[one.id for one in laid[1:]],
        facts=_facts(item),
        colour=attack.color if attack else "#767676",
        marker=attack.marker if attack else "circle",
        is_live=item.state in OPEN,
        is_ending=item.state in OPEN and item.is_cancelled,
    )


@router.post("/sweeps/{sweep_id}/cancel")
def cancel(database: DatabaseOf, now: Clock, sweep_id: int) -> Response:
    with database.write() as session:
        service.cancel(session, sweep_id, now)
    return RedirectResponse(f"/sweeps/{sweep_id}", status_code=303)


@router.post("/sweeps/{sweep_id}/retry")
def retry(database: DatabaseOf, settings: SettingsOf, now: Clock, sweep_id: int) -> Response:
    with database.write() as session:
        service.retry(session, settings, sweep_id, now)
    queue.notify(settings)
    return RedirectResponse(f"/sweeps/{sweep_id}", status_code=303)


def _shown(laid: Sequence[SweepDetail], victim: SweepVictim) -> dict[str, Any]:
    """One victim as its section shows it: rows of (dose in words, point)."""
    item = laid[0]
    return {
        "victim": victim,
        "title": dose_drawings.victim_words(victim),
        "charts": dose_drawings.charts(laid, victim),
        "rows": [(_dose(item, point.value, point.dose), point) for point in victim.points],
    }


def _dose(item: SweepDetail, value: float, dose: float) -> str:
    at = doses.at_value(item.field, value)
    is_share = item.field == "data.train_size"
    return f"{at} ({doses.short(item.field, dose)} % poisons)" if is_share else at


def _facts(item: SweepDetail) -> list[tuple[str, str]]:
    trials = item.spec["trials"]
    design = f"grid, {words.plural(trials, 'trial')} at each value"
    if item.design == "adaptive":
        design = f"adaptive, {words.plural(trials, 'trial')} a step"
    data = item.spec["data"]
    return [
        ("Swept", doses.FIELDS[item.field].capitalize()),
        ("Values", ", ".join(f"{value:g}" for value in item.values)),
        ("Design", design),
        ("Data", item.dataset_title),
        ("Poisons / training images", f"{_or_swept(item, 'data.poisons', data['poisons'])} / "
                                      f"{_or_swept(item, 'data.train_size', data['train_size'])}"),
        ("Trials", f"{item.trials_done} of {item.trials_total}"),
        ("Profile", item.profile),
    ]  # fmt: skip


def _or_swept(item: SweepDetail, field: str, value: int) -> str:
    return "swept" if item.field == field else f"{value:,}"
