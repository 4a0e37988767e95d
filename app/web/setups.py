"""One setup under every attack: the same target and bases, what each attack made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app import places
from app.queries import experiments, setups, trials
from app.queries.setups import UnderAttack
from app.schemas import TrialView
from app.storage import NotStored, Store
from app.web import amplify, images, words
from app.web.doors import Clock, Reading, StoreOf
from app.web.render import page

router = APIRouter()
ROWS = 30  # on one page
SHOWN = 10  # poisons at first
MOST = 200  # poisons on demand
IMAGE_PX = 64  # about as large as drawn, in whole multiples of the image
Number = Annotated[int, Query(ge=0, lt=2**31)]


@dataclass(frozen=True)
class Strip:
    """Where the pictures of one attack's poisons are."""

    root: str
    poisons: int
    has_bases: bool
    has_trigger: bool
    side: int

    @property
    def shown(self) -> range:
        return range(min(SHOWN, self.poisons))

    @property
    def further(self) -> range:
        return range(len(self.shown), min(self.poisons, MOST))


@dataclass(frozen=True)
class Row:
    """One attack on the setup."""

    attack: UnderAttack
    knobs: str
    strip: Strip | None  # None where its poison set is not on this server
    is_cut_off: bool  # its differences, by the factor all rows share


@router.get("/setups")
def show(
    request: Request,
    session: Reading,
    store: StoreOf,
    now: Clock,
    experiment: Number,
    trial: Number,
    start: Number = 0,
) -> Response:
    item = experiments.get(session, experiment, now)
    asked = trials.get(session, experiment, trial)
    is_known = asked.state == "done"
    found = setups.under_every_attack(session, asked, item.dataset) if is_known else []
    shown = found[start : start + ROWS]
    factor = amplify.common((one.attack, one.trial.linf_255) for one in shown)
    rows = [
        Row(
            one,
            knobs_of(one, found),
            strip(store, one.trial),
            amplify.is_cut_off(one.trial.linf_255, factor),
        )
        for one in shown
    ]
    return page(
        request,
        "setups/index.html",
        item=item,
        asked=asked,
        rows=rows,
        factor=factor,
        setup=next((row.strip for row in rows if row.strip and row.strip.has_bases), None),
        answer=answer(asked, found),
        before=trial - 1 if trial > 0 else None,
        after=trial + 1 if trial + 1 < item.trials_total else None,
        start=start,
        next_start=start + ROWS if start + ROWS < len(found) else None,
        total=len(found),
    )


def answer(asked: TrialView, found: Sequence[UnderAttack]) -> str:
    """The page's first line: which attacks fool somebody who does not fall without them."""
    if not found:
        return (
            f"Trial {asked.number} is {asked.state}: its setup is known once it is carried through."
        )
    tried = [one for one in found if not places.is_control(one.attack)]
    if not tried:
        return "No attack was carried through on this setup yet, only a control."
    works = [
        one.title
        for one in tried
        if any(o.success and not o.twin_success for o in one.trial.outcomes)
    ]
    many = words.plural(len(tried), "attack")
    if not works:
        return f"None of {many} on this setup fools a victim whose clean twin is not fooled."
    fool = "fools" if len(works) == 1 else "fool"
    return (
        f"{len(works)} of {many} on this setup {fool} a victim whose clean twin is not fooled: "
        f"{', '.join(dict.fromkeys(works))}."
    )


def knobs_of(one: UnderAttack, found: Sequence[UnderAttack]) -> str:
    """The budget, then what tells it from the others of its attack."""
    alike = [other for other in found if other.attack == one.attack]
    eps = one.knobs.get("eps_255")
    budget = [f"eps {words.knob(eps)}/255"] if eps is not None else []
    differ = [
        f"{name.replace('_', ' ')} {words.knob(value)}"
        for name, value in one.knobs.items()
        if name != "eps_255" and any(other.knobs.get(name) != value for other in alike)
    ]
    if any(other.surrogates != one.surrogates for other in alike):
        differ.append(f"crafted on {words.knob(one.surrogates)}")
    return ", ".join([*budget, *differ])


def strip(store: Store, trial: TrialView) -> Strip | None:
    """Where the pictures of a trial's poisons are; None where they are not on this server."""
    if trial.poison_set is None:
        return None
    try:
        pictures = images.find(store, trial.poison_set)
    except NotStored:
        return None
    return Strip(
        root=f"/poison-sets/{trial.poison_set}",
        poisons=len(pictures.poisons),
        has_bases=pictures.bases is not None,
        has_trigger=pictures.patched is not None,
        side=pictures.size * max(1, IMAGE_PX // pictures.size),
    )
