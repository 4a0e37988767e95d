"""Sweeps are launched: under a key, with tags and notes; cancelled, or stuck"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("sweeps") as batch:
        batch.add_column(sa.Column("notes", sa.Text(), server_default="", nullable=False))
        batch.add_column(sa.Column("tags", sa.JSON(), server_default="[]", nullable=False))
        batch.add_column(sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True))
        batch.add_column(sa.Column("error", sa.Text(), nullable=True))
    with op.batch_alter_table("idempotency_keys") as batch:
        batch.add_column(sa.Column("sweep_id", sa.Integer(), nullable=True))
        batch.create_foreign_key(
            op.f("fk_idempotency_keys_sweep_id_sweeps"), "sweeps", ["sweep_id"], ["id"]
        )


def downgrade() -> None:
    with op.batch_alter_table("idempotency_keys") as batch:
        batch.drop_constraint(op.f("fk_idempotency_keys_sweep_id_sweeps"), type_="foreignkey")
        batch.drop_column("sweep_id")
    with op.batch_alter_table("sweeps") as batch:
        batch.drop_column("error")
        batch.drop_column("cancelled_at")
        batch.drop_column("tags")
        batch.drop_column("notes")
