"""Templates: one file serves the page and, by its blocks, the fragments htmx asks for."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2_fragments.fastapi import Jinja2Blocks
from starlette.responses import Response
from starlette.types import Scope

from app.schemas import OutcomeView, TrialView
from app.web import boards, words
from poisoning import catalog

STATIC = Path(__file__).resolve().parent.parent / "static"
TEMPLATES = Path(__file__).resolve().parents[2] / "templates"


@cache
def asset(path: str) -> str:
    """The address of a static file, with its content's hash so that it can be kept for ever."""
    digest = hashlib.sha256((STATIC / path).read_bytes()).hexdigest()[:12]
    return f"/static/{path}?v={digest}"


class VersionedFiles(StaticFiles):
    """Static files; those asked for by version or hash never change and are kept for a year."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        versioned = b"v=" in scope.get("query_string", b"") or path.startswith("vendor")
        if response.status_code in (200, 304):
            age = "public, max-age=31536000, immutable" if versioned else "no-cache"
            response.headers["Cache-Control"] = age
        return response


def mount_static(app: FastAPI) -> None:
    app.mount("/static", VersionedFiles(directory=STATIC), name="static")


def strip_word(trial: TrialView, outcome: OutcomeView | None) -> str:
    """One trial on one victim, in a word or two."""
    if outcome is None:
        return trial.state
    if outcome.success:
        return "fooled, and so is its twin" if outcome.twin_success else "fooled"
    return "not fooled"


def strip_class(trial: TrialView, outcome: OutcomeView | None) -> str:
    if outcome is None:
        return "failed" if trial.state in ("failed", "cancelled") else "open"
    if outcome.success:
        return "both" if outcome.twin_success else "fooled"
    return "held"


def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(words.FILTERS)
    env.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    env.globals.update(
        asset=asset, attacks=catalog.ATTACKS, datasets=catalog.DATASETS, models=catalog.MODELS
    )
    env.globals["trials_of"] = boards.trials
    env.globals["row_words"] = boards.row_words
    env.globals["strip_class"] = strip_class
    env.globals["strip_word"] = strip_word
    # globals, because a fragment renders its block without the file's own imports
    for name in ("bits", "inputs", "lists", "boards"):
        env.globals[name] = env.get_template(f"macros/{name}.html").module
    env.globals["tables_of"] = env.get_template("macros/tables.html").module
    env.globals["views_of"] = env.get_template("macros/views.html").module
    return env


templates = Jinja2Blocks(env=_environment())


def page(request: Request, template: str, *, status_code: int = 200, **context: Any) -> Response:
    """The page, or the one block of it that htmx asked for by its target's name."""
    target = request.headers.get("HX-Target")
    wants_block = request.headers.get("HX-Request") == "true" and target is not None
    block = target if wants_block and target in _blocks(template) else None
    # htmx throws error pages away; a fragment is always an answer it shows
    response = templates.TemplateResponse(
        request,
        template,
        context,
        status_code=200 if block else status_code,
        block_name=block,
    )
    response.headers["Vary"] = "HX-Request, HX-Target"
    return response


@cache
def _blocks(template: str) -> frozenset[str]:
    return frozenset(templates.env.get_template(template).blocks)
