"""Checkpoints: the catalogue, a card each, and the form that trains one."""

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse

from app import queue
from app.errors import Conflict, Invalid, invalid
from app.queries import checkpoints
from app.requests import PretrainRequest
from app.schemas import CheckpointView
from app.services import checkpoints as service
from app.web import forms
from app.web.doors import Clock, DatabaseOf, Reading, Sent, SettingsOf
from app.web.forms import Field, Values, last, values_of
from app.web.render import page
from app.web.words import plural
from poisoning import catalog
from poisoning.recipes import LISTED, RECIPES
from poisoning.spec import Adversarial, PretrainSpec

router = APIRouter()
OPEN = ("queued", "training")


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


@router.post("/checkpoints/{name}/cancel")
def cancel(database: DatabaseOf, now: Clock, name: str) -> Response:
    with database.write() as session:
        service.cancel(session, name, now)
    return RedirectResponse(f"/checkpoints/{name}", status_code=303)


@router.get("/checkpoints/{name}")
def show(request: Request, session: Reading, name: str) -> Response:
    item = checkpoints.get(session, name)
    return page(request, "checkpoints/detail.html", item=item, is_live=item.state in OPEN)


def _errors(problem: ValidationError | Invalid | Conflict) -> dict[str, str]:
    if isinstance(problem, ValidationError):
        problem = invalid(problem, PretrainRequest)
    if isinstance(problem, Conflict):
        return {"name": problem.detail}
    return forms.sentences(problem.errors)


def _index(request: Request, session: Session, values: Values, errors: dict[str, str]) -> Response:
    found = checkpoints.page(session, limit=200).items
    name_field, knobs, adversarial = _inputs(values, errors)
    return page(
        request,
        "checkpoints/index.html",
        status_code=422 if errors else 200,
        answer=_answer(found),
        checkpoints=found,
        is_live=any(item.state in OPEN for item in found),
        recipes=LISTED,
        recipe=last(values, "recipe"),
        errors=errors,
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
