"""Who may do what. Nothing is open unless it says so.

On the loopback address whoever sits at the machine may do everything. On any other address every
request needs a bearer token (or, from a browser, the cookie it was put into): reading needs the
scope ``read``, writing ``submit``. An endpoint that wants something else declares it with
``@public`` or ``@needs("admin")``.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from fastapi import Request
from starlette.responses import Response

from app.db import Database
from app.errors import Forbidden, NotSignedIn
from app.guard import SAFE
from app.services import tokens
from app.settings import Settings

Policy = Literal["public", "read", "submit", "admin"]
COOKIE = "dosimeter"
COOKIE_AGE_S = 30 * 24 * 3600
F = TypeVar("F", bound=Callable[..., Any])


class NoTokens(RuntimeError):
    """The server would be open to a network without anybody being able to sign in."""


def public(endpoint: F) -> F:
    """Open to everybody, signed in or not."""
    endpoint.policy = "public"  # type: ignore[attr-defined]
    return endpoint


def needs(scope: Policy) -> Callable[[F], F]:
    def mark(endpoint: F) -> F:
        endpoint.policy = scope  # type: ignore[attr-defined]
        return endpoint

    return mark


def policy_of(endpoint: object, method: str) -> Policy:
    """What an endpoint declares; otherwise reading for what only reads, submitting for the rest."""
    declared: Policy | None = getattr(endpoint, "policy", None)
    return declared or ("read" if method in SAFE else "submit")


def authorise(request: Request) -> None:
    """The dependency of every route. NotSignedIn or Forbidden where the caller may not."""
    settings: Settings = request.app.state.settings
    policy = policy_of(request.scope.get("endpoint"), request.method)
    if settings.is_loopback:
        request.state.caller = "local"
        return
    if policy == "public":
        return
    scopes = _signed_in(request)
    if tokens.SCOPES.index(policy) > max(tokens.SCOPES.index(scope) for scope in scopes):
        raise Forbidden(f"this token does not have the scope {policy!r}")


def _signed_in(request: Request) -> list[str]:
    """The scopes of the caller's token; notes whose it is."""
    database: Database = request.app.state.database
    secret = _secret(request)
    if secret is not None:
        with database.read() as session:
            token = tokens.verify(session, secret, datetime.now(UTC))
        if token is not None:
            request.state.caller = f"token:{token.prefix}"
            return token.scopes
    raise NotSignedIn(
        "send a valid token: Authorization: Bearer <token>; whoever runs this server makes one "
        "with `dosimeter token create`",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _secret(request: Request) -> str | None:
    """The token of the header; the cookie counts only where a browser says it is our own page."""
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind:
        return value.strip() if kind.lower() == "bearer" else None
    cookie = request.cookies.get(COOKIE)
    is_own_page = any(name in request.headers for name in ("sec-fetch-site", "origin"))
    return cookie if request.method in SAFE or is_own_page else None


def keep(response: Response, secret: str, settings: Settings) -> None:
    """Sign a browser in: the token in a cookie that scripts and other sites cannot use."""
    response.set_cookie(
        COOKIE,
        secret,
        max_age=COOKIE_AGE_S,
        httponly=True,
        samesite="lax",
        secure=settings.secure_cookies,
    )


def require_tokens(settings: Settings, database: Database) -> None:
    """Refuse to serve a network while nobody could sign in."""
    if settings.is_loopback:
        return
    with database.read() as session:
        if not tokens.count_valid(session, datetime.now(UTC)):
            raise NoTokens(
                f"{settings.host} can be reached from other machines: make a token first with "
                "`dosimeter token create NAME`, or bind 127.0.0.1"
            )
