"""Checkpoints: the catalogue, a card each, the forms that train one and bring one in."""

import json
from dataclasses import replace
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.responses import FileResponse, RedirectResponse

from app import queue
from app.api import brought as sent_along
from app.errors import Conflict, Invalid, NotFound, invalid
from app.queries import checkpoints
from app.requests import PretrainRequest
from app.schemas import CheckpointView
from app.services import checkpoints as service
from app.services import importing
from app.storage import NotStored
from app.web import forms, words
from app.web.doors import Brought, Clock, DatabaseOf, Reading, Sent, SettingsOf, StoreOf
from app.web.forms import Field, Values, last, values_of
from app.web.render import page
from app.web.words import plural
from poisoning import catalog
from poisoning.recipes import LISTED, RECIPES
from poisoning.renames import AUTO, NAMINGS
from poisoning.spec import AdoptSpec, Adversarial, PretrainSpec

router = APIRouter()
OPEN = ("queued", "training")
SHOWN_USES = 10
ADOPT = "adopt."  # how inputs of that form are called, whose names others have too
RENAMES = (
    "One a line, PATTERN=REPLACEMENT: regular expressions on the names of tensors, before the "
    "naming."
)
FACTS = {
    "num_classes": "Classes",
    "image_size": "Image size, px",
    "mean": "Inputs less",
    "std": "Inputs divided by",
    "source": "Source",
    "hardware": "Hardware",
    "seed": "Seed",
}


@router.get("/checkpoints")
def index(request: Request, session: Reading) -> Response:
    asked = values_of(request.query_params)
    return _index(request, session, asked, {}, "adopt" if "form" in asked else "train")


@router.post("/checkpoints")
def train(
    request: Request, database: DatabaseOf, settings: SettingsOf, sent: Sent, now: Clock
) -> Response:
    name_field, knobs, adversarial = _inputs(sent, {})
    tree = forms.nest([*knobs, *adversarial[1:]])
    if adversarial[0].value != "true":
        del tree["spec"]["adversarial"]
    try:
        body = PretrainRequest.model_validate({"name": name_field.value} | tree)
        with database.write() as session:
            made = service.train(session, settings, body.name, body.spec, now)
    except (ValidationError, Invalid, Conflict) as problem:
        errors = _errors(problem)
        with database.read() as session:
            return _index(request, session, sent, errors)
    queue.notify(settings)
    return RedirectResponse(f"/checkpoints/{made.name}", status_code=303)


@router.post("/checkpoints/import")
def bring_in(
    request: Request,
    database: DatabaseOf,
    settings: SettingsOf,
    store: StoreOf,
    brought: Brought,
    now: Clock,
) -> Response:
    """Take in the file and the card that another Dosimeter wrote."""
    name = brought.last("name")
    try:
        if brought.file is None or brought.card is None:
            missing = "file" if brought.file is None else "card"
            raise Invalid.field(missing, "is missing", "choose the file and its card")
        card = importing.read_card(brought.card)
        with database.write() as session:
            file = brought.file.file
            made = importing.bring_in(session, store, settings, name, card, file, now).name
    except (Invalid, Conflict) as problem:
        with database.read() as session:
            return _index(request, session, {"name": [name]}, _errors(problem), "import")
    return RedirectResponse(f"/checkpoints/{made}", status_code=303)


@router.post("/checkpoints/adopt")
def adopt(
    request: Request,
    database: DatabaseOf,
    settings: SettingsOf,
    store: StoreOf,
    brought: Brought,
    now: Clock,
) -> Response:
    """Take in weights that were trained elsewhere; a worker reads and judges them."""
    typed = {name.removeprefix(ADOPT): value for name, value in brought.typed.items()}
    brought = replace(brought, typed=typed)
    try:
        with database.write() as session:
            made = sent_along.adopt(session, store, settings, brought, now).name
    except (Invalid, Conflict) as problem:
        with database.read() as session:
            return _index(request, session, typed, _errors(problem), "adopt")
    queue.notify(settings)
    return RedirectResponse(f"/checkpoints/{made}", status_code=303)


@router.get("/checkpoints/{name}/file.safetensors")
def file(session: Reading, store: StoreOf, name: str) -> Response:
    row = checkpoints.find(session, name)
    try:
        path = store.path("checkpoints", row.sha256 or "")
    except NotStored:
        raise NotFound(f"the file of {name!r} is not on this server") from None
    return FileResponse(
        path, media_type="application/octet-stream", filename=f"{row.name}.safetensors"
    )


@router.get("/checkpoints/{name}/card.json")
def card(session: Reading, name: str) -> Response:
    row = checkpoints.find(session, name)
    if row.card is None or row.sha256 is None:
        raise NotFound(f"{name!r} has no card yet")
    return Response(
        json.dumps(row.card, indent=2) + "\n",
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{row.name}.json"'},
    )


@router.post("/checkpoints/{name}/cancel")
def cancel(database: DatabaseOf, now: Clock, name: str) -> Response:
    with database.write() as session:
        service.cancel(session, name, now)
    return RedirectResponse(f"/checkpoints/{name}", status_code=303)


@router.post("/checkpoints/{name}/retry")
def retry(database: DatabaseOf, settings: SettingsOf, name: str) -> Response:
    with database.write() as session:
        service.retry(session, name)
    queue.notify(settings)
    return RedirectResponse(f"/checkpoints/{name}", status_code=303)


@router.get("/checkpoints/{name}")
def show(request: Request, session: Reading, store: StoreOf, name: str) -> Response:
    item = checkpoints.get(session, name)
    used, uses = checkpoints.uses(session, item.id, SHOWN_USES)
    return page(
        request,
        "checkpoints/detail.html",
        item=item,
        is_live=item.state in OPEN,
        is_guess=_is_guess(item),
        facts=_facts(item),
        recipe=_reading(item) if item.is_foreign else _recipe(item),
        used=used,
        uses=uses,
        has_file=bool(item.sha256) and store.has("checkpoints", item.sha256 or ""),
    )


def _facts(item: CheckpointView) -> list[tuple[str, str]]:
    """Of the card, what the page does not say anyway, in words."""
    card = item.card or {}
    found = [(title, words.knob(card[key])) for key, title in FACTS.items() if card.get(key)]
    versions = card.get("versions")
    if isinstance(versions, dict) and versions:
        found.append(("Versions", ", ".join(f"{name} {at}" for name, at in versions.items())))
    return found


def _recipe(item: CheckpointView) -> list[tuple[str, str]]:
    """How it was trained, knob by knob, as the form calls them."""
    titles = {field.name: field.title for field in forms.fields(PretrainSpec, "", {}, {})}
    spec = item.spec or {}
    return [(title, words.knob(spec[name])) for name, title in titles.items() if name in spec]


def _reading(item: CheckpointView) -> list[tuple[str, str]]:
    """How weights that were trained elsewhere were read."""
    spec = item.spec or {}
    naming = spec["naming"]
    named = [f"{pattern} becomes {new or 'nothing'}" for pattern, new in spec["renames"]]
    return [
        ("File", spec["filename"]),
        ("Naming", "auto: the first known one that fits" if naming == AUTO else naming),
        *(("Renames", text) for text in ["; ".join(named)] if text),
    ]


def _is_guess(item: CheckpointView) -> bool:
    """Whether weights that were trained elsewhere do little better than chance."""
    classes = (item.card or {}).get("num_classes")
    if not item.is_foreign or item.clean_accuracy is None or not classes:
        return False
    return item.clean_accuracy < min(2 / classes, (1 + 1 / classes) / 2)


def _errors(problem: ValidationError | Invalid | Conflict) -> dict[str, str]:
    if isinstance(problem, ValidationError):
        problem = invalid(problem, PretrainRequest)
    if isinstance(problem, Conflict):
        return {"name": problem.detail}
    return forms.sentences(problem.errors)


def _index(
    request: Request,
    session: Session,
    values: Values,
    errors: dict[str, str],
    form: Literal["train", "import", "adopt"] = "train",
) -> Response:
    """The page; ``values`` are what was typed into one of its forms, with what is wrong there."""
    found = checkpoints.page(session, limit=200).items
    typed = {name: values if name == form else {} for name in ("train", "import", "adopt")}
    wrong = {name: errors if name == form else {} for name in typed}
    name_field, knobs, adversarial = _inputs(typed["train"], wrong["train"])
    return page(
        request,
        "checkpoints/index.html",
        status_code=422 if errors else 200,
        answer=_answer(found),
        checkpoints=found,
        is_live=any(item.state in OPEN for item in found),
        recipes=LISTED,
        recipe=last(typed["train"], "recipe"),
        errors=wrong["train"],
        import_errors=wrong["import"],
        import_name=last(typed["import"], "name"),
        max_mib=request.app.state.settings.max_body_mib,
        adopt_errors=wrong["adopt"],
        adopt_fields=_adopting(typed["adopt"], wrong["adopt"]),
        name_field=name_field,
        train_fields=knobs,
        adversarial_fields=adversarial,
    )


def _inputs(values: Values, errors: dict[str, str]) -> tuple[Field, list[Field], list[Field]]:
    """The name, the knobs, and those of adversarial training, first of all whether to.

    A recipe fills in all of them; what was typed stands above it.
    """
    recipe = RECIPES.get(last(values, "recipe"))
    filled = forms.flatten(recipe.model_dump(mode="json"), "spec.") if recipe else {}
    name = Field("name", "Name", "text", help="Small letters, digits, dots and dashes.")
    name.value = last(values, "name", last(values, "recipe") if recipe else "")
    name.error = errors.get("name")
    choices = {"model": forms.choice(catalog.MODELS), "dataset": forms.choice(catalog.DATASETS)}
    typed = filled | values
    is_on = bool(recipe and recipe.adversarial)
    switch = Field("adversarial", "Train adversarially", "boolean")
    switch.value = last(values, "adversarial", forms.typed(is_on))
    return (
        name,
        forms.fields(PretrainSpec, "spec.", typed, errors, options=choices),
        [switch, *forms.fields(Adversarial, "spec.adversarial.", typed, errors)],
    )


def _adopting(values: Values, errors: dict[str, str]) -> list[Field]:
    """The inputs beside the file of weights that were trained elsewhere."""
    typed = {f"{ADOPT}{key}": value for key, value in values.items()}
    wrong = {f"{ADOPT}{key}": text for key, text in errors.items()}
    rules = next((text for key, text in errors.items() if key.startswith("renames")), None)
    name = Field(f"{ADOPT}name", "Name here", "text", help="Small letters, digits, dots, dashes.")
    own = Field(f"{ADOPT}renames", "Renames", "lines", help=RENAMES)
    name.value, name.error = last(values, "name"), errors.get("name")
    own.value, own.error = "\n".join(values.get("renames", [])), rules
    options = {
        "model": [("", "choose"), *forms.choice(catalog.MODELS)],
        "dataset": [("", "choose"), *forms.choice(catalog.DATASETS)],
        "naming": [(key, key) for key in (AUTO, *NAMINGS)],
    }
    knobs = forms.fields(AdoptSpec, ADOPT, typed, wrong, options=options, only=options)
    return [name, *knobs, own]


def _answer(found: list[CheckpointView]) -> str:
    ready = sum(item.state == "ready" for item in found)
    training = sum(item.state in OPEN for item in found)
    if not found:
        return "No network is pretrained yet."
    more = f", {training} in training" if training else ""
    return f"{plural(ready, 'checkpoint is', 'checkpoints are')} ready{more}."
