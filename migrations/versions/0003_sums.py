"""Counts kept per experiment and victim; which experiments differ only in their seed"""

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

REPEATS = """
    EXISTS (SELECT 1 FROM outcomes AS o2 JOIN experiments AS e2 ON e2.id = o2.experiment_id
            WHERE o2.outcome_hash = o.outcome_hash AND o2.id < o.id AND e2.profile = e.profile)
"""
OUTCOMES = f"""
    SELECT o.experiment_id, o.victim, o.access, {REPEATS} AS is_repeat, count(*) AS n,
           sum(CASE WHEN o.success THEN 1 ELSE 0 END) AS successes,
           sum(CASE WHEN o.twin_success THEN 1 ELSE 0 END) AS twins,
           sum(CASE WHEN o.success AND o.twin_success THEN 1 ELSE 0 END) AS both,
           sum(o.clean_accuracy) AS clean, sum(o.twin_clean_accuracy) AS twin_clean
    FROM outcomes AS o JOIN experiments AS e ON e.id = o.experiment_id
    GROUP BY o.experiment_id, o.victim, o.access, is_repeat
"""
TRIALS = """
    INSERT INTO trial_sums (experiment_id, trials, craft_seconds, linf_255, mean_l2, ssim)
    SELECT experiment_id, count(*), coalesce(sum(craft_seconds), 0), coalesce(max(linf_255), 0),
           coalesce(sum(mean_l2), 0), coalesce(sum(ssim), 0)
    FROM trials WHERE state = 'done' GROUP BY experiment_id
"""


def upgrade() -> None:
    with op.batch_alter_table("experiments") as table:
        table.add_column(sa.Column("series", sa.String(16), nullable=False, server_default=""))
        table.add_column(sa.Column("regimes", sa.String(60), nullable=False, server_default=""))
        table.create_index("ix_experiments_series", ["series"])
    op.create_table(
        "trial_sums",
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("trials", sa.Integer(), nullable=False),
        sa.Column("craft_seconds", sa.Float(), nullable=False),
        sa.Column("linf_255", sa.Integer(), nullable=False),
        sa.Column("mean_l2", sa.Float(), nullable=False),
        sa.Column("ssim", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name=op.f("fk_trial_sums_experiment_id_experiments"),
        ),
        sa.PrimaryKeyConstraint("experiment_id", name=op.f("pk_trial_sums")),
    )
    sums = op.create_table(
        "outcome_sums",
        sa.Column("experiment_id", sa.Integer(), nullable=False),
        sa.Column("victim", sa.Integer(), nullable=False),
        sa.Column("access", sa.String(16), nullable=False),
        sa.Column("is_repeat", sa.Boolean(), nullable=False),
        sa.Column("board_key", sa.String(16), nullable=False),
        sa.Column("row_key", sa.String(16), nullable=False),
        sa.Column("column_key", sa.String(16), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("successes", sa.Integer(), nullable=False),
        sa.Column("twins", sa.Integer(), nullable=False),
        sa.Column("both", sa.Integer(), nullable=False),
        sa.Column("clean", sa.Float(), nullable=False),
        sa.Column("twin_clean", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name=op.f("fk_outcome_sums_experiment_id_experiments"),
        ),
        sa.PrimaryKeyConstraint(
            "experiment_id", "victim", "access", "is_repeat", name=op.f("pk_outcome_sums")
        ),
    )
    op.create_index(
        "ix_outcome_sums_board", "outcome_sums", ["board_key", "row_key", "column_key", "access"]
    )
    _fill(op.get_bind(), sums)


def downgrade() -> None:
    op.drop_table("outcome_sums")
    op.drop_table("trial_sums")
    # in place: a table that others refer to cannot be made anew
    op.drop_index("ix_experiments_series", "experiments")
    op.drop_column("experiments", "regimes")
    op.drop_column("experiments", "series")


def _fill(connection: Any, sums: Any) -> None:
    found = connection.execute(sa.text("SELECT id, spec FROM experiments"))
    specs = {row.id: row.spec if isinstance(row.spec, dict) else json.loads(row.spec)
             for row in found}  # fmt: skip
    if not specs:
        return
    connection.execute(
        sa.text("UPDATE experiments SET series = :series, regimes = :regimes WHERE id = :id"),
        [
            {
                "id": number,
                "series": _key({k: v for k, v in spec.items() if k != "seed"}),
                "regimes": ",".join(sorted({victim["regime"] for victim in spec["victims"]})),
            }
            for number, spec in specs.items()
        ],
    )
    connection.execute(sa.text(TRIALS))
    rows = [dict(row) for row in connection.execute(sa.text(OUTCOMES)).mappings()]
    for row in rows:
        row["is_repeat"] = bool(row["is_repeat"])
        row |= _keys(specs[row["experiment_id"]], row["victim"])
    if rows:
        connection.execute(sums.insert(), rows)


def _key(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _keys(spec: dict[str, Any], position: int) -> dict[str, str]:
    """As they were when this was written: protocol, attack and victim."""
    victim, attack = spec["victims"][position], spec["attack"]
    is_control = attack["name"] == "no_perturbation"
    surrogates = sorted(spec["surrogates"])
    pool = sorted(spec.get("sampled_from") or [])
    if "sampled" in surrogates and not is_control:
        surrogates = [surrogates, pool]
    its: Any = {name: value for name, value in victim.items() if name != "label"}
    if victim.get("checkpoint") == "sampled":
        its = [its, pool]
    return {
        "board_key": _key(
            {
                "data": spec["data"],
                "regime": victim["regime"],
                "recipe": victim.get("recipe"),
                "profile": spec["profile"],
                "precision": spec["precision"],
            }
        ),
        "row_key": _key([attack, [] if is_control else surrogates]),
        "column_key": _key(its),
    }
