"""Saved views: a page's filters, columns and order, kept under a name."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.errors import Conflict, Invalid, NotFound
from app.models import SavedView

PAGES = {"experiments": "/experiments", "leaderboards": "/leaderboard", "compare": "/compare"}
MAX_VIEWS, MAX_NAME, MAX_QUERY = 100, 80, 4000


def save(session: Session, page: str, name: str, query: str, now: datetime) -> SavedView:
    """Keep a view; one of the same name is replaced. Invalid names what cannot be."""
    name, query = " ".join(name.split()), query.lstrip("?")
    if page not in PAGES:
        raise Invalid.field("page", f"there are no views of {page!r}", ", ".join(PAGES))
    if not 0 < len(name) <= MAX_NAME:
        raise Invalid.field("name", f"must have 1 to {MAX_NAME} characters", "shorten it")
    if len(query) > MAX_QUERY:
        raise Invalid.field("query", "is too long to be kept", "use fewer filters")
    row = session.scalar(select(SavedView).where(SavedView.page == page, SavedView.name == name))
    if row is None:
        if count(session, page) >= MAX_VIEWS:
            raise Conflict(f"there are {MAX_VIEWS} views of this page already; remove one")
        row = SavedView(page=page, name=name, query=query, created_at=now)
        session.add(row)
    row.query = query
    session.flush()
    return row


def remove(session: Session, view_id: int) -> str:
    """Forget a view; the address of its page. NotFound where there is none."""
    row = session.get(SavedView, view_id) if 0 < view_id < 2**31 else None
    if row is None:
        raise NotFound(f"there is no view {view_id}")
    session.delete(row)
    session.flush()
    return PAGES[row.page]


def count(session: Session, page: str) -> int:
    found = session.scalar(select(func.count()).where(SavedView.page == page))
    return int(found or 0)


def of_page(session: Session, page: str) -> list[SavedView]:
    """By name."""
    statement = select(SavedView).where(SavedView.page == page).order_by(SavedView.name)
    return list(session.scalars(statement))
