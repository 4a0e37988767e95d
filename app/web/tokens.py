"""API tokens: made for scripts and other people, seen without their secrets, revoked."""

from datetime import datetime

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse

from app import auth
from app.errors import Invalid
from app.models import Token
from app.services import tokens
from app.web import forms
from app.web.doors import Clock, DatabaseOf, Reading, Sent, SettingsOf
from app.web.forms import Values, last
from app.web.render import page
from app.web.words import plural

router = APIRouter()
MAX_DAYS = 3650
MAX_NAME = 80
SCOPES = [
    ("read", "read: look at everything"),
    ("submit", "submit: also launch, cancel, annotate"),
    ("admin", "admin: also make and revoke tokens"),
]


@router.get("/tokens")
@auth.needs("admin")
def show(request: Request, session: Reading, settings: SettingsOf, now: Clock) -> Response:
    return _page(request, tokens.everyone(session), settings.is_loopback, now, {}, {})


@router.post("/tokens")
@auth.needs("admin")
def create(
    request: Request, database: DatabaseOf, settings: SettingsOf, sent: Sent, now: Clock
) -> Response:
    """The page with the secret on it, which is shown this once and kept nowhere.

    A name stands for one valid token, so that sending the form again makes no second one.
    """
    try:
        with database.write() as session:
            name, scope, days = _asked(session, sent, now)
            made, secret = tokens.create(session, name, [scope], now, days)
            prefix = made.prefix
        errors: dict[str, str] = {}
    except Invalid as problem:
        prefix, secret, errors = "", "", forms.sentences(problem.errors)
    with database.read() as session:
        answer = _page(
            request,
            tokens.everyone(session),
            settings.is_loopback,
            now,
            sent if errors else {},
            errors,
            prefix=prefix,
            secret=secret,
        )
    answer.headers["Cache-Control"] = "no-store"
    return answer


@router.post("/tokens/{prefix}/revoke")
@auth.needs("admin")
def revoke(database: DatabaseOf, now: Clock, prefix: str) -> Response:
    with database.write() as session:
        tokens.revoke(session, prefix, now)
    return RedirectResponse("/tokens", status_code=303)


def state(token: Token, now: datetime) -> str:
    """valid | expired | revoked"""
    if token.revoked_at is not None:
        return "revoked"
    is_over = token.expires_at is not None and token.expires_at <= now
    return "expired" if is_over else "valid"


def _asked(session: Session, sent: Values, now: datetime) -> tuple[str, str, int | None]:
    """Name, scope and days of what was typed; Invalid names the field."""
    name, scope = last(sent, "name").strip(), last(sent, "scope", "submit")
    days = last(sent, "days").strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise Invalid.field("name", f"must be one line of 1 to {MAX_NAME} characters")
    is_number = days.isascii() and days.isdigit() and len(days) < 6
    if days and not (is_number and 1 <= int(days) <= MAX_DAYS):
        raise Invalid.field("days", f"must be 1 to {MAX_DAYS} days, or empty for ever")
    taken = {token.name for token in tokens.everyone(session) if state(token, now) == "valid"}
    if name in taken:
        raise Invalid.field("name", "is that of a valid token", "choose another or revoke it")
    return name, scope, int(days) if days else None


def _page(
    request: Request,
    found: list[Token],
    is_loopback: bool,
    now: datetime,
    typed: Values,
    errors: dict[str, str],
    prefix: str = "",
    secret: str = "",
) -> Response:
    rows = [(token, state(token, now)) for token in reversed(found)]
    valid = sum(of_token == "valid" for _, of_token in rows)
    return page(
        request,
        "tokens/index.html",
        status_code=422 if errors else 200,
        answer=f"{plural(valid, 'token is', 'tokens are')} valid." if rows else "No token yet.",
        rows=rows,
        scopes=SCOPES,
        typed={key: last(typed, key) for key in ("name", "scope", "days")},
        errors=errors,
        made=prefix,
        secret=secret,
        is_loopback=is_loopback,
        origin=str(request.base_url).rstrip("/"),
    )
