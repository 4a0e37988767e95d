"""Checkpoints: the catalogue, a card each, the forms that train one and bring one in."""

import json

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.responses import FileResponse, RedirectResponse

from app import queue
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
from poisoning.spec import Adversarial, PretrainSpec

router = APIRouter()
OPEN = ("queued", "training")
SHOWN_USES = 10
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
    return _index(request, session, values_of(request.query_params), {})


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
    typed = {"import.name": [brought.name]}
    try:
        if brought.file is None or brought.card is None:
            missing = "file" if brought.file is None else "card"
            raise Invalid.field(missing, "is missing", "choose the file and its card")
        card = importing.read_card(brought.card)
        with database.write() as session:
            name = brought.name.strip()
            row = importing.bring_in(session, store, settings, name, card, brought.file, now)
            made = row.name
    except (Invalid, Conflict) as problem:
        errors = {f"import.{key}": text for key, text in _errors(problem).items()}
        with database.read() as session:
            return _index(request, session, typed, errors)
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


@router.get("/checkpoints/{name}")
def show(request: Request, session: Reading, store: StoreOf, name: str) -> Response:
    item = checkpoints.get(session, name)
    used, uses = checkpoints.uses(session, item.id, SHOWN_USES)
    return page(
        request,
        "checkpoints/detail.html",
        item=item,
        is_live=item.state in OPEN,
        facts=_facts(item),
        recipe=_recipe(item),
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


def _errors(problem: ValidationError | Invalid | Conflict) -> dict[str, str]:
    if isinstance(problem, ValidationError):
        problem = invalid(problem, PretrainRequest)
    if isinstance(problem, Conflict):
        return {"name": problem.detail}
    return forms.sentences(problem.errors)


def _index(request: Request, session: Session, values: Values, errors: dict[str, str]) -> Response:
    found = checkpoints.page(session, limit=200).items
    name_field, knobs, adversarial = _inputs(values, errors)
    brought = {name.removeprefix("import."): text for name, text in errors.items()}
    is_import = any(name.startswith("import.") for name in errors)
    return page(
        request,
        "checkpoints/index.html",
        status_code=422 if errors else 200,
        answer=_answer(found),
        checkpoints=found,
        is_live=any(item.state in OPEN for item in found),
        recipes=LISTED,
        recipe=last(values, "recipe"),
        errors={} if is_import else errors,
        import_errors=brought if is_import else {},
        import_name=last(values, "import.name"),
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


def _answer(found: list[CheckpointView]) -> str:
    ready = sum(item.state == "ready" for item in found)
    training = sum(item.state in OPEN for item in found)
    if not found:
        return "No network is pretrained yet."
    more = f", {training} in training" if training else ""
    return f"{plural(ready, 'checkpoint is', 'checkpoints are')} ready{more}."
