"""Errors as answers: problem+json (RFC 9457) for programs, a page for browsers."""

import errno
from http import HTTPStatus
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from sqlalchemy import exc
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from app import errors
from app.errors import FieldProblem, Invalid, NoSpace, NotSignedIn, Problem, Unavailable
from app.web.render import page
from poisoning.catalog import UnknownName
from poisoning.spec import FieldError

log = structlog.get_logger(__name__)
MEDIA_TYPE = "application/problem+json"


class ProblemView(BaseModel):
    """RFC 9457, with the fields that are wrong and what to do about each."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = []


def install(app: FastAPI) -> None:
    """Every error of the application becomes an answer of one form."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(exc.OperationalError, _on_database)
    app.add_exception_handler(exc.InterfaceError, _on_database)
    app.add_exception_handler(exc.TimeoutError, _on_database)
    app.add_exception_handler(OSError, _on_os)
    app.add_exception_handler(FieldError, _on_field)
    app.add_exception_handler(UnknownName, _on_unknown)
    app.add_exception_handler(Exception, _on_bug)


def answer(request: Request, problem: Problem) -> Response:
    """The response to a problem, in the form the request asks for."""
    if wants_page(request):
        if isinstance(problem, NotSignedIn) and request.method == "GET":
            target = quote(request.url.path)
            return RedirectResponse(f"/login?next={target}", status_code=303)
        response = page(
            request,
            "errors/error.html",
            status_code=problem.status,
            status=problem.status,
            title=problem.title,
            detail=problem.detail,
            remedy=None,
            errors=problem.errors,
        )
    else:
        view = ProblemView(
            title=problem.title,
            status=problem.status,
            detail=problem.detail,
            errors=problem.errors,
        )
        response = JSONResponse(view.model_dump(), problem.status, media_type=MEDIA_TYPE)
    response.headers.update(problem.headers)
    return response


def wants_page(request: Request) -> bool:
    is_api = request.url.path.startswith("/api/")
    return not is_api and "text/html" in request.headers.get("accept", "")


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return answer(request, error)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields = request.scope["route"].dependant.body_params
    model = fields[0].field_info.annotation if len(fields) == 1 else None
    return answer(request, Invalid(errors.readable(error.errors(), model)))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem = Problem(str(error.detail), headers=dict(error.headers or {}))
    problem.status = error.status_code
    problem.title = HTTPStatus(error.status_code).phrase
    return answer(request, problem)


async def _on_field(request: Request, error: Exception) -> Response:
    assert isinstance(error, FieldError)
    return answer(request, Invalid.field(error.field, error.message, error.remedy))


async def _on_unknown(request: Request, error: Exception) -> Response:
    return answer(request, errors.NotFound(str(error)))


async def _on_database(request: Request, error: Exception) -> Response:
    """A full disk, or a database that is busy or gone for now."""
    if "disk is full" in str(error):
        return answer(request, NoSpace("the database cannot grow: the disk is full"))
    log.warning("database not available", error=str(error))
    return answer(
        request,
        Unavailable("the database is busy or not there; try again", headers={"Retry-After": "1"}),
    )


async def _on_os(request: Request, error: Exception) -> Response:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return answer(request, NoSpace("the disk is full"))
    return await _on_bug(request, error)


async def _on_bug(request: Request, error: Exception) -> Response:
    log.error("unexpected error", path=request.url.path, exc_info=error)
    return answer(request, Problem("an unexpected error; the server's log has the details"))
