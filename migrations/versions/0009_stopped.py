"""When an experiment stopped early; whether counts were looked at before their n was fixed"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("experiments", sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "outcome_sums",
        sa.Column("is_sequential", sa.Boolean(), server_default="0", nullable=False),
    )


def downgrade() -> None:
    op.drop_column("outcome_sums", "is_sequential")
    op.drop_column("experiments", "stopped_at")
