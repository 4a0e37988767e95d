"""Sweeps of one field; experiments that may stop early or were extended"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sweeps",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("field", sa.String(length=60), nullable=False),
        sa.Column("ladder", sa.JSON(), nullable=False),
        sa.Column("design", sa.String(length=16), nullable=False),
        sa.Column("budget", sa.Integer(), nullable=True),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sweeps")),
    )
    with op.batch_alter_table("experiments") as batch:
        batch.add_column(sa.Column("sweep_id", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("stop_width", sa.Float(), nullable=True))
        batch.add_column(
            sa.Column("is_sequential", sa.Boolean(), server_default="0", nullable=False)
        )
        batch.create_foreign_key(
            op.f("fk_experiments_sweep_id_sweeps"), "sweeps", ["sweep_id"], ["id"]
        )
        batch.create_index(op.f("ix_experiments_sweep_id"), ["sweep_id"])


def downgrade() -> None:
    with op.batch_alter_table("experiments") as batch:
        batch.drop_index(op.f("ix_experiments_sweep_id"))
        batch.drop_constraint(op.f("fk_experiments_sweep_id_sweeps"), type_="foreignkey")
        batch.drop_column("is_sequential")
        batch.drop_column("stop_width")
        batch.drop_column("sweep_id")
    op.drop_table("sweeps")
