"""Bearer tokens: 256 random bits, shown once, kept as a hash, compared in constant time."""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.errors import Invalid, NotFound
from app.models import Token

SCOPES = ("read", "submit", "admin")
_MARK = "dosimeter"


def create(
    session: Session, name: str, scopes: list[str], now: datetime, days: int | None = None
) -> tuple[Token, str]:
    """A new token and its secret, which cannot be shown again. A scope includes those before."""
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise Invalid.field("scopes", f"no scope {unknown}", f"one of: {', '.join(SCOPES)}")
    prefix = secrets.token_hex(6)
    secret = f"{_MARK}_{prefix}_{secrets.token_urlsafe(32)}"
    token = Token(
        name=name,
        prefix=prefix,
        sha256=_hash(secret),
        scopes=scopes,
        created_at=now,
        expires_at=now + timedelta(days=days) if days is not None else None,
    )
    session.add(token)
    session.flush()
    return token, secret


def verify(session: Session, secret: str, now: datetime) -> Token | None:
    """The token a secret belongs to, if it is valid now."""
    parts = secret.split("_", 2)
    prefix = parts[1] if len(parts) == 3 and parts[0] == _MARK else ""
    token = session.scalar(select(Token).where(Token.prefix == prefix))
    expected = token.sha256 if token else _hash("")
    is_same = hmac.compare_digest(expected, _hash(secret))
    if token is None or not is_same or token.revoked_at is not None:
        return None
    return None if token.expires_at is not None and token.expires_at <= now else token


def revoke(session: Session, prefix: str, now: datetime) -> Token:
    token = session.scalar(select(Token).where(Token.prefix == prefix))
    if token is None:
        raise NotFound(f"there is no token {prefix!r}")
    token.revoked_at = token.revoked_at or now
    return token


def everyone(session: Session) -> list[Token]:
    return list(session.scalars(select(Token).order_by(Token.id)))


def count_valid(session: Session, now: datetime) -> int:
    return (
        session.scalar(
            select(func.count()).where(
                Token.revoked_at.is_(None), (Token.expires_at.is_(None)) | (Token.expires_at > now)
            )
        )
        or 0
    )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
