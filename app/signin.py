"""Signing a browser in and out, on servers that other machines can reach."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from app import auth
from app.services import tokens
from app.web.render import page

router = APIRouter(include_in_schema=False)
Next = Annotated[str, Query(alias="next", max_length=2000)]


@router.get("/login")
@auth.public
def show(request: Request, following: Next = "/") -> Response:
    return page(request, "errors/login.html", next=_local(following), error=None)


@router.post("/login")
@auth.public
def sign_in(
    request: Request,
    token: Annotated[str, Form(max_length=200)],
    following: Annotated[str, Form(alias="next", max_length=2000)] = "/",
) -> Response:
    with request.app.state.database.read() as session:
        known = tokens.verify(session, token.strip(), datetime.now(UTC))
    if known is None:
        return page(
            request,
            "errors/login.html",
            status_code=401,
            next=_local(following),
            error="This token is not valid, or no longer.",
        )
    response = RedirectResponse(_local(following), status_code=303)
    auth.keep(response, token.strip(), request.app.state.settings)
    return response


@router.post("/logout")
@auth.public
def sign_out() -> Response:
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(auth.COOKIE)
    return response


def _local(target: str) -> str:
    """Only a path of this server may follow a sign-in."""
    is_local = target.startswith("/") and not target.startswith(("//", "/\\"))
    return target if is_local and target.isprintable() else "/"
