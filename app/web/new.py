"""The launch form: drawn, switched, estimated, sent. Its whole state is in its address."""

import json
import uuid

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse

from app import queue
from app.errors import Invalid, invalid
from app.queries import checkpoints, experiments
from app.queries import sweeps as swept
from app.requests import LaunchRequest
from app.schemas import Estimate
from app.services import estimate as costs
from app.services import experiments as experiments_service
from app.services import sweeps as sweeps_service
from app.services.datasets import check_files
from app.settings import Settings
from app.web import forms, presets, scripts, sweeping, words
from app.web.doors import Caller, Clock, DatabaseOf, Reading, Sent, SettingsOf
from app.web.forms import Values, last, values_of
from app.web.launch import Known, LaunchForm
from app.web.render import page
from app.web.sweeping import Sweeping
from app.web.switches import settle
from poisoning import catalog, spec_yaml
from poisoning.recipes import LISTED, RECIPES
from poisoning.spec import ExperimentSpec

router = APIRouter()


@router.get("/experiments/new")
def show(request: Request, session: Reading, settings: SettingsOf, now: Clock) -> Response:
    sent = values_of(request.query_params)
    clone, preset, sweep = (last(sent, name) for name in ("clone", "preset", "sweep"))
    if clone.isdigit():
        original = experiments.find(session, int(clone))
        values = presets.values_of_spec(original.spec, original.title) | {
            "notes": [original.notes],
            "tags": [", ".join(original.tags)],
            "cloned_from": [clone],
            "stop_points": [f"{100 * original.stop_width:g}" if original.stop_width else ""],
        }
    elif sweep.isdigit():
        item = swept.get(session, int(sweep))
        values = presets.values_of_spec(item.spec, item.title) | sweeping.values_of_sweep(item)
        values |= {"notes": [item.notes], "tags": [", ".join(item.tags)]}
    elif preset:
        values = presets.values_of_preset(preset)
    else:
        values = settle(sent)
    form = _form(session, values)
    kind = last(sent, "format")
    if kind in ("yaml", "json") and (asked := form.validate()):
        return _file(f"spec.{kind}", _written(asked)[kind])
    spec, cost, blockers = _judge(session, settings, form, has_input=bool(values))
    if kind or last(sent, "do") == "estimate":
        form.errors, blockers = blockers, {}
    # a key stays with the form it was drawn with; an address that is passed on gets a new one
    is_fragment = request.headers.get("HX-Request") == "true"
    key = last(sent, "idempotency_key") if is_fragment else ""
    return _page(request, form, key or uuid.uuid4().hex, spec, cost, blockers, preset=preset)


def _file(name: str, text: str) -> Response:
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type="text/plain; charset=utf-8", headers=disposition)


@router.post("/experiments")
def launch(
    request: Request,
    database: DatabaseOf,
    settings: SettingsOf,
    sent: Sent,
    caller: Caller,
    now: Clock,
) -> Response:
    """Launch and go to the experiment's page; what is wrong is shown beside its field."""
    with database.read() as session:
        form = _form(session, settle(sent))
    spec = form.validate()
    key = last(sent, "idempotency_key") or None
    section = Sweeping(form.values, form.errors)
    try:
        if spec is not None and section.is_used:
            form.stop_width(is_sweep=True)
            asked = section.request(spec)
            with database.write() as session:
                row = sweeps_service.launch_once(session, settings, asked, now, caller, key)
                address = f"/sweeps/{row.id}"
            queue.notify(settings)
            return RedirectResponse(address, status_code=303)
        if spec is not None:
            body = _body(spec, sent, form.stop_width())
            with database.write() as session:
                made = experiments_service.launch_once(
                    session, settings, body, now, caller, key, cloned_from=_origin(sent)
                )
                address = f"/experiments/{made.id}"
            queue.notify(settings)
            return RedirectResponse(address, status_code=303)
    except Invalid as problem:
        form.refuse(sweeping.placed(problem.errors))
    # what was typed is about to change, so the next attempt is another request
    return _page(request, form, uuid.uuid4().hex, None, None, {}, status_code=422)


def _body(spec: ExperimentSpec, sent: Values, stop_width: float | None) -> LaunchRequest:
    tags = [tag.strip() for tag in last(sent, "tags").split(",") if tag.strip()]
    try:
        return LaunchRequest(
            spec=spec,
            stop_width=stop_width,
            title=last(sent, "title"),
            notes=last(sent, "notes"),
            tags=tags,
        )
    except ValidationError as problem:
        raise invalid(problem, LaunchRequest) from None


def _origin(sent: Values) -> int | None:
    typed = last(sent, "cloned_from")
    return int(typed) if typed.isdigit() and int(typed) < 2**31 else None


def _page(
    request: Request,
    form: LaunchForm,
    key: str,
    spec: ExperimentSpec | None,
    cost: Estimate | None,
    blockers: dict[str, str],
    *,
    preset: str = "",
    status_code: int = 200,
) -> Response:
    section = Sweeping(form.values, form.errors)
    return page(
        request,
        "experiments/new.html",
        status_code=status_code,
        form=form,
        sweeping=section,
        key=key,
        cloned_from=_origin(form.values),
        presets=presets.menu(),
        preset=preset,
        estimate=cost,
        blockers=blockers,
        spec=_written(spec) if spec else {},
        scripts=_scripts(str(request.base_url), section, spec) if spec else [],
    )


def _written(spec: ExperimentSpec) -> dict[str, str]:
    """The spec as a file of each kind, by the ending of its name."""
    raw = spec.model_dump(mode="json")
    return {"yaml": spec_yaml.dump(raw), "json": json.dumps(raw, indent=2) + "\n"}


def _scripts(base_url: str, section: Sweeping, spec: ExperimentSpec) -> list[tuple[str, str]]:
    if not section.is_used:
        title = last(section.values, "title")
        return scripts.launching(base_url, spec.model_dump(mode="json"), title)
    try:
        return scripts.sweeping(base_url, section.request(spec))
    except Invalid:  # said beside its field
        return []


def _judge(
    session: Session, settings: Settings, form: LaunchForm, *, has_input: bool
) -> tuple[ExperimentSpec | None, Estimate | None, dict[str, str]]:
    """The spec and what it will cost, or what stands in the way."""
    if not has_input:
        return None, None, {}
    spec = form.validate()
    errors, form.errors = form.errors, {}
    if spec is None:
        return None, None, errors
    section = Sweeping(form.values, form.errors)
    try:
        form.stop_width(section.is_used)
        if section.is_used:
            asked = section.request(spec)
            return spec, sweeps_service.estimate(session, settings, asked), errors
        check_files(settings, spec.data.dataset, "data.dataset")
        return spec, costs.estimate(session, settings, spec), errors
    except Invalid as problem:
        found = forms.sentences(sweeping.placed(problem.errors))
        return spec, None, {name.removeprefix("spec."): text for name, text in found.items()}


def _form(session: Session, values: Values) -> LaunchForm:
    """The form with its choice of checkpoints: those that are there, then recipes."""
    there = checkpoints.page(session, limit=200).items
    known = []
    for item in there:
        is_ready = item.state == "ready"
        state = f"{words.percent(item.clean_accuracy)} % clean" if is_ready else item.state
        text = f"{item.name}: {item.model_title} on {item.dataset_title}, {state}"
        known.append(Known(item.name, text, item.dataset, is_ready))
    names = {item.name for item in there}
    asked = {value for several in values.values() for value in several}
    for name, recipe in RECIPES.items():
        if name not in names and (name in LISTED or name in asked):
            what = f"{catalog.model(recipe.model).title} on {catalog.dataset(recipe.dataset).title}"
            known.append(Known(name, f"{name}: {what}, trained first", recipe.dataset, False))
    return LaunchForm(values, known)
