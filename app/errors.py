"""What goes wrong, in words for the person who asked: field, message, remedy (RFC 9457)."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from poisoning import catalog
from poisoning.spec import FieldError


class FieldProblem(BaseModel):
    """One thing wrong with the input: the dotted path of its field, and what to do about it."""

    field: str
    message: str
    remedy: str | None = None


class Problem(Exception):
    """A request that cannot be answered; becomes problem+json or an HTML page."""

    status = 500
    title = "Something went wrong"

    def __init__(
        self,
        detail: str,
        errors: Sequence[FieldProblem] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        self.detail, self.errors, self.headers = detail, list(errors), headers or {}
        super().__init__(detail)


class BadRequest(Problem):
    status, title = 400, "The request cannot be understood"


class NotSignedIn(Problem):
    status, title = 401, "A token is needed"


class Forbidden(Problem):
    status, title = 403, "Not allowed"


class NotFound(Problem):
    status, title = 404, "Not found"


class Conflict(Problem):
    status, title = 409, "Not possible in the present state"


class TooLarge(Problem):
    status, title = 413, "The request is too large"


class Unavailable(Problem):
    status, title = 503, "Not available right now"


class NoSpace(Problem):
    status, title = 507, "No space left"


class Invalid(Problem):
    """Input that names its wrong fields."""

    status, title = 422, "The input is not valid"

    def __init__(self, errors: Sequence[FieldProblem]) -> None:
        super().__init__("; ".join(f"{e.field}: {e.message}" for e in errors), errors)

    @classmethod
    def field(cls, field: str, message: str, remedy: str | None = None) -> "Invalid":
        return cls([FieldProblem(field=field, message=message, remedy=remedy)])

    def within(self, prefix: str) -> "Invalid":
        """The same errors, seen from a body that has this input under ``prefix``."""
        return Invalid([e.model_copy(update={"field": f"{prefix}.{e.field}"}) for e in self.errors])


# --- pydantic's errors in plain words ---------------------------------------------------------

_BOUNDS = {
    "greater_than": ("gt", "must be above {}"),
    "greater_than_equal": ("ge", "must be at least {}"),
    "less_than": ("lt", "must be below {}"),
    "less_than_equal": ("le", "must be at most {}"),
}


def readable(errors: Iterable[Any], model: type[BaseModel] | None = None) -> list[FieldProblem]:
    """Field problems of pydantic's ``error.errors()``; ``model`` is what was validated.

    Tags of unions are dropped from the paths; unknown names come with a suggestion. A list that is
    called too short because its items are wrong is not mentioned: its items are.
    """
    found = list(errors)
    places = [tuple(error["loc"]) for error in found]
    return [
        _readable(error, model)
        for error, place in zip(found, places, strict=True)
        if error["type"] != "too_short" or not any(_is_below(other, place) for other in places)
    ]


def _is_below(place: tuple[Any, ...], above: tuple[Any, ...]) -> bool:
    return len(place) > len(above) and place[: len(above)] == above


def invalid(error: ValidationError, model: type[BaseModel] | None = None) -> Invalid:
    return Invalid(readable(error.errors(), model))


def _readable(error: Any, model: type[BaseModel] | None) -> FieldProblem:
    path, kind, context = _path(error["loc"]), error["type"], error.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, FieldError):
        field = ".".join(p for p in (path, cause.field) if p)
        return FieldProblem(field=field, message=cause.message, remedy=cause.remedy)
    if kind == "union_tag_invalid":
        return _unknown_tag(path, context)
    if kind == "union_tag_not_found":
        name = context["discriminator"].strip("'")
        return FieldProblem(field=f"{path}.{name}", message="is missing", remedy="name one")
    if kind == "extra_forbidden":
        return _unknown_field(path, error["loc"], model)
    if kind == "json_invalid":
        return FieldProblem(
            field="body", message=f"is not JSON: {context['error']}", remedy="send a JSON object"
        )
    if kind == "missing":
        return FieldProblem(field=path, message="is missing", remedy="give it a value")
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        limit = words.format(context[key])
        return FieldProblem(
            field=path,
            message=f"{error['input']} is out of range: it {limit}",
            remedy=f"it {limit}",
        )
    message = error["msg"].removeprefix("Value error, ").replace("Input should", "should")
    return FieldProblem(field=path, message=message[:1].lower() + message[1:])


def _tagged(part: Any) -> type[BaseModel] | None:
    """The model a part of a path stands for where it is the tag of a union, not a field."""
    row = catalog.ATTACKS.get(part) or catalog.REGIMES.get(part)
    return row.params if row else None


def _path(loc: Sequence[Any]) -> str:
    """Dotted path without the places ('body', 'query') and without union tags."""
    parts = list(loc)
    if parts and parts[0] in ("body", "query", "path", "header"):
        parts = parts[1:]
    kept = [str(p) for i, p in enumerate(parts) if not (i > 0 and _tagged(p))]
    return ".".join(kept)


def _unknown_tag(path: str, context: Any) -> FieldProblem:
    known = [name.strip().strip("'") for name in context["expected_tags"].split(",")]
    name = context["discriminator"].strip("'")
    kind = path.rsplit(".", 1)[-1] if name == "name" else name
    error = catalog.UnknownName(kind, str(context["tag"]), known)
    return FieldProblem(
        field=f"{path}.{name}", message=str(error), remedy=f"one of: {', '.join(known)}"
    )


def _unknown_field(path: str, loc: Sequence[Any], model: type[BaseModel] | None) -> FieldProblem:
    known = sorted(_fields_beside(loc, model))
    name = path.rsplit(".", 1)[-1]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "leave it out"
    if known:
        hint += f" (known: {', '.join(known)})"
    return FieldProblem(field=path, message="there is no such field here", remedy=hint)


def _fields_beside(loc: Sequence[Any], model: type[BaseModel] | None) -> set[str]:
    """Names of the fields that exist where ``loc`` points to one that does not."""
    models = {model} if model else set()
    for part in loc[:-1]:
        tagged = _tagged(part)
        if tagged in models:
            models = {tagged}
            continue
        stepped: set[type[BaseModel]] = set()
        for each in models:
            if part in each.model_fields:
                stepped |= _models_in(each.model_fields[part].annotation)
        models = stepped or models
    return {name for each in models for name in each.model_fields}


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {found for arg in get_args(annotation) for found in _models_in(arg)}
