"""Why victims were fooled, beside their outcomes"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "explanations",
        sa.Column("outcome_id", sa.Integer(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["outcome_id"], ["outcomes.id"], name=op.f("fk_explanations_outcome_id_outcomes")
        ),
        sa.PrimaryKeyConstraint("outcome_id", name=op.f("pk_explanations")),
    )


def downgrade() -> None:
    op.drop_table("explanations")
