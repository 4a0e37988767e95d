"""Under what each trial was crafted and each outcome judged; device time"""

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = {"trials": "craft_device_seconds", "outcomes": "device_seconds"}


def upgrade() -> None:
    made = op.create_table(
        "provenances",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provenances")),
        sa.UniqueConstraint("sha256", name=op.f("uq_provenances_sha256")),
    )
    for table, seconds in TABLES.items():
        # in place: a table that others refer to cannot be made anew
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN provenance_id INTEGER CONSTRAINT "
            f"fk_{table}_provenance_id_provenances REFERENCES provenances (id)"
        )
        op.add_column(table, sa.Column(seconds, sa.Float(), nullable=True))
    _fill(op.get_bind(), made)


def downgrade() -> None:
    for table, seconds in TABLES.items():
        op.drop_column(table, seconds)
        op.drop_column(table, "provenance_id")
    op.drop_table("provenances")


def _fill(connection: Any, made: Any) -> None:
    """What stood there already: that of its job's last attempt, and it says so."""
    jobs = connection.execute(
        sa.text("SELECT id, attempt, provenance FROM jobs WHERE kind = 'trials'")
    ).all()
    ids: dict[str, int] = {}
    for job in jobs:
        said = job.provenance if isinstance(job.provenance, dict | None) else json.loads(
            job.provenance
        )  # fmt: skip
        if not said:
            continue
        data = said | {"note": f"of its job's last attempt ({job.attempt})"}
        text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        if sha256 not in ids:
            found = connection.execute(made.insert().values(sha256=sha256, data=data))
            ids[sha256] = found.inserted_primary_key[0]
        values = {"provenance": ids[sha256], "job": job.id}
        connection.execute(
            sa.text(
                "UPDATE trials SET provenance_id = :provenance "
                "WHERE job_id = :job AND state = 'done'"
            ),
            values,
        )
        connection.execute(
            sa.text(
                "UPDATE outcomes SET provenance_id = :provenance "
                "WHERE trial_id IN (SELECT id FROM trials WHERE job_id = :job)"
            ),
            values,
        )
