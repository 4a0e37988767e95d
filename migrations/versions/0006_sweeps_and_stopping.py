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
    # in place: a table that others refer to cannot be made anew
    op.execute(
        "ALTER TABLE experiments ADD COLUMN sweep_id INTEGER "
        "CONSTRAINT fk_experiments_sweep_id_sweeps REFERENCES sweeps (id)"
    )
    op.add_column("experiments", sa.Column("stop_width", sa.Float(), nullable=True))
    op.add_column(
        "experiments",
        sa.Column("is_sequential", sa.Boolean(), server_default="0", nullable=False),
    )
    op.create_index(op.f("ix_experiments_sweep_id"), "experiments", ["sweep_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_experiments_sweep_id"), "experiments")
    op.drop_column("experiments", "is_sequential")
    op.drop_column("experiments", "stop_width")
    op.drop_column("experiments", "sweep_id")
    op.drop_table("sweeps")
