"""The server: pages, REST API, live updates. ``uvicorn --factory app.main:create_app``."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI

from app import api, auth, db, live, logs, problems, signin, web
from app import settings as configuration
from app.api import health
from app.guard import Guard
from app.settings import Settings
from app.storage import Store
from poisoning import __version__

ABOUT = """Measures how much a training pipeline has to fear data poisoning.

Errors are `application/problem+json`; each names the field and the remedy. Lists are read page by
page: pass `next` on as `cursor`. A `POST` with an `Idempotency-Key` can be repeated safely. On any
address but loopback every request needs `Authorization: Bearer <token>`."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application. On start it refuses a database of another version, and a network address
    that nobody could sign in to."""
    chosen = settings or configuration.load()
    logs.configure(chosen)
    app = FastAPI(
        title="Dosimeter",
        version=__version__,
        description=ABOUT,
        lifespan=_lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(auth.authorise)],
    )
    app.state.settings = chosen
    app.state.database = db.open_database(chosen)
    app.state.stopping = False  # whoever stops the server sets it, so that open streams end
    app.state.store = Store(chosen.artifacts_dir)
    problems.install(app)
    app.add_middleware(Guard, settings=chosen, answer=problems.answer)
    app.include_router(health.router)
    app.include_router(api.router)
    app.include_router(live.router)
    app.include_router(signin.router)
    app.include_router(web.router)
    web.mount_static(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    db.check_version(app.state.database)
    auth.require_tokens(app.state.settings, app.state.database)
    # what was imported stays: a full collection in the middle of a large page need not walk
    # through it, which took a tenth of a second
    gc.freeze()
    yield {}
    gc.unfreeze()
    app.state.database.close()
