"""Attacks: a card each, drawn from the catalogue, the knobs and what the attack says of itself."""

import inspect
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from app.errors import NotFound
from app.queries import leaderboards
from app.web import docstrings, forms, printed, words
from app.web.doors import Reading
from app.web.render import page
from poisoning import catalog, certificates
from poisoning.catalog import Attack

router = APIRouter()
SHOWN = 50  # results of an attack on its page; all are on the leaderboards
BUDGETS = {
    "none": "changes nothing",
    "linf": "l-infinity: no pixel changes by more than eps",
    "linf_outside_trigger": "l-infinity outside the trigger",
    "unbounded": "not bounded: measured, never ranked with bounded ones",
}
NEEDS = {
    "nothing": "nothing",
    "features": "features of its surrogates",
    "classifier": "surrogates that tell the victim's classes apart",
}


@dataclass(frozen=True)
class Form:
    """One published form of an attack, and how its knobs differ from the first form's."""

    attack: Attack
    about: str
    differs: str


@router.get("/attacks")
def index(request: Request) -> Response:
    real = [row for row in catalog.ATTACKS.values() if "control" not in row.tags]
    roots = sum(row.variant_of is None for row in real)
    sentence = (
        f"{words.plural(roots, 'attack')} in {words.plural(len(real), 'published form')} and "
        f"{len(catalog.ATTACKS) - len(real)} control can be launched here, every one against any "
        "victim."
    )
    families = [
        [catalog.ATTACKS[name] for name, _ in options]
        for _, options in forms.families(catalog.ATTACKS)
    ]
    return page(
        request,
        "attacks/index.html",
        answer=sentence,
        families=families,
        forms={row.name: _about(row) for row in catalog.ATTACKS.values()},
        budgets=BUDGETS,
        needs=NEEDS,
    )


@router.get("/attacks/{name}")
def show(request: Request, session: Reading, name: str) -> Response:
    try:
        attack = catalog.attack(name)
    except catalog.UnknownName as unknown:
        raise NotFound(str(unknown)) from None
    boards, is_cut = leaderboards.of_attack(session, name, SHOWN)
    measured = [
        (board, column, row, cell)
        for board in boards
        for row in board.rows
        for column, cell in zip(board.columns, row.cells, strict=True)
        if cell is not None
    ]
    return page(
        request,
        "attacks/detail.html",
        attack=attack,
        budgets=BUDGETS,
        needs=NEEDS,
        summary=_about(attack),
        paragraphs=docstrings.of_module(attack.craft.partition(":")[0]),
        family=family(attack),
        printed=printed.of(session, [attack.name, *(n for n in kin(attack) if n != attack.name)]),
        knobs=forms.fields(attack.params, "attack.", {}, {}),
        measured=measured,
        certificates=certificates.of_attack(name),
        is_cut=is_cut,
    )


def family(attack: Attack) -> list[Form]:
    """All published forms of an attack, the first one first; empty where it has but one."""
    root = catalog.attack(attack.variant_of or attack.name)
    rows = [catalog.attack(name) for name in kin(attack)]
    return [Form(row, _about(row), _differs(row, root)) for row in rows] if len(rows) > 1 else []


def kin(attack: Attack) -> list[str]:
    """The names of all forms of an attack."""
    root = attack.variant_of or attack.name
    return [row.name for row in catalog.ATTACKS.values() if root in (row.name, row.variant_of)]


def _about(attack: Attack) -> str:
    return inspect.getdoc(attack.params) or ""


def _differs(attack: Attack, root: Attack) -> str:
    """The knobs and defaults that are not the first form's, in words."""
    own, first = (
        {field.title: field.default_words for field in forms.fields(m, "", {}, {})}
        for m in (attack.params, root.params)
    )
    parts = [f"no {title}" for title in first if title not in own]
    parts += [f"{title} {default}" for title, default in own.items() if title not in first]
    parts += [f"{t} {own[t]}, not {first[t]}" for t in own if t in first and own[t] != first[t]]
    if attack.budget != root.budget:
        parts.append(BUDGETS[attack.budget].partition(":")[0])
    return "; ".join(parts)
