"""What else was asked of a victim; tags and archive of experiments; saved views"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("outcomes") as table:
        table.add_column(sa.Column("extras", sa.JSON(), nullable=True))
    with op.batch_alter_table("experiments") as table:
        table.add_column(sa.Column("tags", sa.JSON(), server_default="[]", nullable=False))
        table.add_column(sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "saved_views",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("page", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_views")),
        sa.UniqueConstraint("page", "name", name=op.f("uq_saved_views_page")),
    )


def downgrade() -> None:
    op.drop_table("saved_views")
    with op.batch_alter_table("experiments") as table:
        table.drop_column("archived_at")
        table.drop_column("tags")
    with op.batch_alter_table("outcomes") as table:
        table.drop_column("extras")
