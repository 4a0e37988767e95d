"""Alembic's entry: migrations run on the connection that app.db hands over."""

from alembic import context

import app.models  # noqa: F401  (every table is in Base.metadata by it)
from app.columns import Base, UtcDateTime


def _render_item(kind: str, item: object, autogen_context: object) -> str | bool:
    """Migrations must not import the application's types: it will have moved on."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def _compare_type(
    context: object,
    inspected: object,
    metadata: object,
    inspected_type: object,
    metadata_type: object,
) -> bool | None:
    return False if isinstance(metadata_type, UtcDateTime) else None  # fmt: skip


connection = context.config.attributes.get("connection")
if connection is None:
    from app import db, settings

    connection = db.open_database(settings.load()).write_engine.connect()

context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,
    render_item=_render_item,
    compare_type=_compare_type,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
