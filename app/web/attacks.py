"""Attacks: a card each, drawn from the catalogue and the knobs."""

import inspect

from fastapi import APIRouter, Request, Response

from app.errors import NotFound
from app.queries import leaderboards
from app.web import forms, words
from app.web.doors import Reading
from app.web.render import page
from poisoning import catalog

router = APIRouter()
BUDGETS = {
    "none": "changes nothing",
    "linf": "l-infinity: no pixel changes by more than eps",
    "linf_outside_trigger": "l-infinity outside the trigger",
    "unbounded": "not bounded: measured, never ranked with bounded ones",
}


@router.get("/attacks")
def index(request: Request) -> Response:
    real = sum("control" not in row.tags for row in catalog.ATTACKS.values())
    sentence = (
        f"{words.plural(real, 'attack')} and {len(catalog.ATTACKS) - real} control "
        "can be launched here, every one against any victim."
    )
    return page(request, "attacks/index.html", answer=sentence, budgets=BUDGETS)


@router.get("/attacks/{name}")
def show(request: Request, session: Reading, name: str) -> Response:
    try:
        attack = catalog.attack(name)
    except catalog.UnknownName as unknown:
        raise NotFound(str(unknown)) from None
    measured = [
        (board, column, row, cell)
        for board in leaderboards.page(session)
        for row in board.rows
        if row.attack == name
        for column, cell in zip(board.columns, row.cells, strict=True)
        if cell is not None
    ]
    return page(
        request,
        "attacks/detail.html",
        attack=attack,
        budgets=BUDGETS,
        summary=inspect.getdoc(attack.params) or "",
        knobs=forms.fields(attack.params, "attack.", {}, {}),
        measured=measured,
    )
