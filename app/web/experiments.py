"""Experiments: the list, one of them live, and what can be done with it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from app.queries import experiments, trials
from app.queries.experiments import Filters
from app.schemas import ExperimentSummary, Page
from app.web import forms, scripts, words
from app.web.doors import Clock, Reading
from app.web.render import page
from poisoning import catalog

router = APIRouter()
OPEN = ("queued", "waiting", "running")
STATES = (*OPEN, "done", "failed", "cancelled")
LOG_LINES = 60
TRIALS_SHOWN = 200
FILTERS = [
    ("state", "State", [(state, state) for state in STATES]),
    ("attack", "Attack", forms.choice(catalog.ATTACKS)),
    ("dataset", "Data set", forms.choice(catalog.DATASETS)),
    ("profile", "Profile", [(profile, profile) for profile in words.PROFILES]),
]


@router.get("/experiments")
def index(
    request: Request,
    session: Reading,
    state: str = "",
    attack: str = "",
    dataset: str = "",
    profile: str = "",
    text: str = "",
    cursor: str = "",
) -> Response:
    chosen = {"state": state, "attack": attack, "dataset": dataset, "profile": profile}
    chosen["text"] = text[:200]
    found = experiments.page(
        session, Filters(**{k: v or None for k, v in chosen.items()}), cursor or None
    )
    kept = {name: value for name, value in chosen.items() if value}
    return page(
        request,
        "experiments/index.html",
        page=found,
        answer=_answer(found, bool(kept)),
        filters=FILTERS,
        chosen=chosen | {"cursor": cursor},
        is_filtered=bool(kept),
        is_live=any(item.state in OPEN for item in found.items),
        first_url=_address(kept),
        next_url=_address(kept | {"cursor": found.next}) if found.next else None,
    )


def _address(query: Mapping[str, Any]) -> str:
    return f"/experiments?{urlencode(query)}" if query else "/experiments"


def _answer(found: Page[ExperimentSummary], is_filtered: bool) -> str:
    if not found.items:
        return "None matches." if is_filtered else "Nothing was launched yet."
    counts = {state: 0 for state in STATES}
    for item in found.items:
        counts[item.state] += 1
    parts = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    if found.next:
        return f"{'The first' if not is_filtered else 'At least'} {len(found.items)}: {parts}."
    return f"{words.plural(len(found.items), 'experiment')}: {parts}."


@router.get("/experiments/{experiment_id}")
def show(
    request: Request, session: Reading, now: Clock, experiment_id: int, cursor: str = ""
) -> Response:
    item = experiments.get(session, experiment_id, now)
    attack = catalog.ATTACKS.get(item.attack)
    return page(
        request,
        "experiments/detail.html",
        item=item,
        trials=trials.page(session, experiment_id, cursor or None, limit=TRIALS_SHOWN),
        log=experiments.log_tail(session, experiment_id, limit=LOG_LINES),
        is_live=item.state in OPEN,
        colour=attack.color if attack else "#767676",
        marker=attack.marker if attack else "circle",
        scripts=scripts.launching(str(request.base_url), item.spec, item.title),
    )
