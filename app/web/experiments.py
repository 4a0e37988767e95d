"""Experiments: the list, one of them live, and what can be done with it."""

import uuid
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from app.queries import experiment_list, experiments, trials
from app.queries.experiment_list import Listing
from app.services import exports, views
from app.services.exports import Origin
from app.web import listed, listing, scripts, watching, words
from app.web.doors import Clock, Reading, StoreOf
from app.web.listing import Asked
from app.web.render import page
from poisoning import catalog

router = APIRouter()
OPEN = listing.OPEN
LOG_LINES = 60
EXPORTED = 10_000  # rows of a file at most
TRIALS_SHOWN = 200


@router.get("/experiments")
def index(
    request: Request, session: Reading, now: Clock, asked: Annotated[Asked, Query()]
) -> Response:
    if asked.format:
        return _file(session, asked, f"{str(request.base_url).rstrip('/')}{asked.address()}", now)
    filters, order = asked.filters(), asked.order()
    found = experiment_list.page(session, filters, order, asked.cursor or None)
    return page(
        request,
        "experiments/index.html",
        page=found,
        answer=_answer(found, asked),
        asked=asked,
        columns=[column for column in listing.COLUMNS if column.key in asked.columns],
        all_columns=listing.COLUMNS,
        choices=listing.CHOICES,
        sorts=listing.SORTS,
        views=views.of_page(session, "experiments"),
        is_live=any(state in OPEN for item in found.items for state in item.states),
        next_url=asked.address(cursor=found.next) if found.next else None,
    )


def _file(session: Session, asked: Asked, permalink: str, now: datetime) -> Response:
    """Every row of the list, not one page of it; a file that was cut says so."""
    items, rows = experiment_list.every(session, asked.filters(), asked.order(), EXPORTED)
    cut = f"cut after {len(items):,} of {rows:,} rows: narrow the list to have all of them"
    notes = (cut,) if len(items) < rows else ()
    table = listed.table(items, asked.columns, notes)
    file = exports.export(table, asked.format, Origin(permalink, now, exports.commit()))
    # the one form without a place for notes
    text = f"# {cut}\n{file.text}" if notes and asked.format == "csv" else file.text
    headers = {"Content-Disposition": f'attachment; filename="{file.name}"'}
    return Response(text, media_type=file.media_type, headers=headers)


def _answer(found: Listing, asked: Asked) -> str:
    if not found.items:
        return "None matches." if asked.is_narrowed else "Nothing was launched yet."
    states = {state: 0 for state in listing.STATES}
    for item in found.items:
        for state, count in item.states.items():
            states[state] += count
    parts = ", ".join(f"{count} {state}" for state, count in states.items() if count)
    if found.rows is None or found.experiments is None:
        return f"Further ones: {parts}."
    many = words.plural(found.experiments, "experiment")
    if found.rows < found.experiments:
        many = f"{many} in {words.plural(found.rows, 'row')}, pooled over seeds"
    return f"{many}; on this page {parts}." if found.next else f"{many}: {parts}."


@router.get("/experiments/{experiment_id}")
def show(
    request: Request,
    session: Reading,
    store: StoreOf,
    now: Clock,
    experiment_id: int,
    cursor: str = "",
) -> Response:
    item = experiments.get(session, experiment_id, now)
    attack = catalog.ATTACKS.get(item.attack)
    return page(
        request,
        "experiments/detail.html",
        item=item,
        key=uuid.uuid4().hex,  # of the form that extends it
        trials=trials.page(session, experiment_id, cursor or None, limit=TRIALS_SHOWN),
        log=experiments.log_tail(session, experiment_id, limit=LOG_LINES),
        is_live=item.state in OPEN,
        colour=attack.color if attack else "#767676",
        marker=attack.marker if attack else "circle",
        scripts=scripts.launching(str(request.base_url), item.spec, item.title),
        **watching.of(session, store, item),
    )
