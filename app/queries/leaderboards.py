"""Leaderboards: what was measured under one protocol, pooled over experiments.

A board is a protocol: data, counts, setups, normalisation, regime, recipe, profile, precision.
A column is an access and a victim; a row is an attack with its knobs and its surrogates. A trial
that several experiments ran counts once. Read from the sums kept per experiment and victim.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, String, case, cast, func, select, tuple_
from sqlalchemy.orm import Session

from app import places
from app.board_schemas import Leaderboard, LeaderboardTitle
from app.errors import NotFound
from app.models import Experiment, OutcomeSum, TrialSum
from app.queries import boards, tallies, titles
from app.queries.boards import ACCESS_ORDER, Cost, Costs, Measured, Source, Spec
from poisoning import catalog

MAX_VICTIMS = 16  # of an experiment; the spec allows no more


def page(
    session: Session,
    dataset: str | None = None,
    profile: str | None = None,
) -> list[Leaderboard]:
    """All boards, the fullest first."""
    narrowed: list[ColumnElement[bool]] = []
    if dataset is not None:
        narrowed.append(Experiment.dataset == dataset)
    if profile is not None:
        narrowed.append(Experiment.profile == profile)
    if narrowed:
        its = select(Experiment.id).where(*narrowed)
        narrowed = [OutcomeSum.experiment_id.in_(its)]
    found = _built(session, _measured(session, *narrowed), _costs(session, *narrowed))
    return sorted(found, key=lambda board: (-_size(board), board.key))


def of_attack(session: Session, attack: str, limit: int) -> tuple[list[Leaderboard], bool]:
    """Where an attack was measured: boards with its rows alone, what a row cost left out.

    The fullest boards first, until there are ``limit`` cells; and whether there are more.
    """
    its = OutcomeSum.experiment_id.in_(select(Experiment.id).where(Experiment.attack == attack))
    # a control's cell pools what it has under several accesses, so cells are told apart without
    keys = (OutcomeSum.board_key, OutcomeSum.row_key, OutcomeSum.column_key)
    n = func.sum(OutcomeSum.n)
    size = func.sum(n).over(partition_by=OutcomeSum.board_key)
    fullest = (
        select(*keys)
        .where(OutcomeSum.is_repeat.is_(False), its)
        .group_by(*keys)
        .order_by(size.desc(), OutcomeSum.board_key, n.desc(), *keys[1:])
        .limit(limit + 1)
    )
    found = [tuple(row) for row in session.execute(fullest)]
    chosen = found[:limit]
    built = _built(session, _measured(session, tuple_(*keys).in_(chosen), its), {})
    order = list(dict.fromkeys(board for board, *_ in chosen))
    return sorted(built, key=lambda board: order.index(board.key)), len(found) > limit


def get(session: Session, key: str) -> Leaderboard:
    """One board by its key; NotFound where nothing was measured under that protocol."""
    its = OutcomeSum.board_key == key
    for board in _built(session, _measured(session, its), _costs(session, its)):
        return board
    raise NotFound(f"there is no leaderboard {key!r}")


def index(session: Session) -> list[LeaderboardTitle]:
    """What boards there are, the fullest first."""
    controls = select(Experiment.id).where(
        Experiment.attack.in_([name for name in catalog.ATTACKS if places.is_control(name)])
    )
    attacks = func.sum(case((OutcomeSum.experiment_id.in_(controls), 0), else_=1))
    statement = (
        select(OutcomeSum.board_key, OutcomeSum.access, _example(), func.sum(OutcomeSum.n), attacks)
        .where(OutcomeSum.is_repeat.is_(False))
        .group_by(OutcomeSum.board_key, OutcomeSum.access)
    )
    found = session.execute(statement).all()
    specs = _specs(session, {row[2] // MAX_VICTIMS for row in found})
    by_key: dict[str, list[Any]] = defaultdict(list)
    for row in found:
        by_key[row[0]].append(row)
    made = [_title(key, rows, specs) for key, rows in by_key.items()]
    return sorted(made, key=lambda title: (-title.outcomes, title.key))


def _title(key: str, rows: Sequence[Any], specs: dict[int, Spec]) -> LeaderboardTitle:
    experiment_id, victim = divmod(min(row[2] for row in rows), MAX_VICTIMS)
    spec = specs[experiment_id]
    met = {row[1] for row in rows if row[4]}
    return LeaderboardTitle(
        key=key,
        dataset=spec["data"]["dataset"],
        dataset_title=titles.dataset(spec["data"]["dataset"]),
        regime=spec["victims"][victim]["regime"],
        profile=spec["profile"],
        precision=spec["precision"],
        protocol=boards.in_words(spec, spec["victims"][victim]),
        setups=spec["data"]["setups"],
        counts=f"{spec['data']['poisons']:,} / {spec['data']['train_size']:,}",
        accesses=[access for access in ACCESS_ORDER if access in met] or [rows[0][1]],
        outcomes=sum(row[3] for row in rows),
    )


def _size(board: Leaderboard) -> int:
    return sum(cell.success.n for row in board.rows for cell in row.cells if cell)


def _built(session: Session, measured: Sequence[Measured], costs: Costs) -> list[Leaderboard]:
    """Three statements for any number of boards."""
    groups: dict[str, list[Measured]] = defaultdict(list)
    for one in measured:
        groups[one.board].append(one)
    attacks = _attacks(session, {m.experiment_id for m in measured})
    columns = [m for found in groups.values() for m in boards.columns_of(found, attacks)]
    specs = _specs(session, {m.experiment_id for m in columns})
    source = Source(attacks, specs, titles.checkpoint_models(session), costs)
    return [boards.build(key, found, source) for key, found in groups.items()]


def _example() -> Any:
    """The first experiment and the victim's position in it, as one number."""
    return func.min(OutcomeSum.experiment_id * MAX_VICTIMS + OutcomeSum.victim)


def _measured(session: Session, *where: ColumnElement[bool]) -> list[Measured]:
    keys = (
        OutcomeSum.board_key,
        OutcomeSum.row_key,
        OutcomeSum.column_key,
        OutcomeSum.access,
    )
    ids = func.aggregate_strings(cast(OutcomeSum.experiment_id, String), ",")
    statement = (
        select(*keys, _example().label("example"), ids, *tallies.added())
        .where(OutcomeSum.is_repeat.is_(False), *where)
        .group_by(*keys)
        .order_by("example")
    )
    made = []
    for board, row, column, access, example, joined, *counts in session.execute(statement):
        experiment_id, victim = divmod(example, MAX_VICTIMS)
        pooled = tuple(sorted({int(part) for part in joined.split(",")}))
        made.append(
            Measured(board, row, column, access, experiment_id, victim, pooled, tallies.of(counts))
        )
    return made


def _attacks(session: Session, ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Of each experiment the attack with its knobs, without the rest of its spec."""
    its = Experiment.spec["attack"]
    statement = select(Experiment.id, its).where(Experiment.id.in_(list(ids)))
    return {number: attack for number, attack in session.execute(statement)}


def _specs(session: Session, ids: Iterable[int]) -> dict[int, Spec]:
    statement = select(Experiment.id, Experiment.spec).where(Experiment.id.in_(list(ids)))
    return {number: spec for number, spec in session.execute(statement)}


def _costs(session: Session, *where: ColumnElement[bool]) -> Costs:
    keys = (OutcomeSum.board_key, OutcomeSum.row_key, OutcomeSum.experiment_id)
    its = select(*keys).where(OutcomeSum.is_repeat.is_(False), *where).distinct().subquery()
    statement = (
        select(
            its.c.board_key,
            its.c.row_key,
            func.sum(TrialSum.trials),
            func.sum(TrialSum.craft_seconds),
            func.max(TrialSum.linf_255),
            func.sum(TrialSum.mean_l2),
            func.sum(TrialSum.ssim),
        )
        .join(TrialSum, TrialSum.experiment_id == its.c.experiment_id)
        .group_by(its.c.board_key, its.c.row_key)
    )
    return {(row[0], row[1]): Cost(*row[2:]) for row in session.execute(statement)}
