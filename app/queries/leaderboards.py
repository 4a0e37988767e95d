"""Leaderboards: what was measured under one protocol, pooled over experiments.

A board is a protocol: data, counts, setups, normalisation, regime, recipe, profile, precision.
A column is an access and a victim; a row is an attack with its knobs and its surrogates. A trial
that several experiments ran counts once. Read from the sums kept per experiment and victim.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, String, case, cast, func, select
from sqlalchemy.orm import Session

from app import places
from app.errors import NotFound
from app.models import Experiment, OutcomeSum, TrialSum
from app.queries import answers, tallies, titles
from app.queries.tallies import Tally
from app.schemas import (
    Leaderboard,
    LeaderboardCell,
    LeaderboardColumn,
    LeaderboardRow,
    LeaderboardTitle,
)
from poisoning import catalog

ACCESS_TITLES = {"white_box": "White box", "grey_box": "Grey box", "black_box": "Black box"}
ACCESS_ORDER = tuple(ACCESS_TITLES)
BOUNDED = ("linf", "linf_outside_trigger")
MAX_VICTIMS = 16  # of an experiment; the spec allows no more
Spec = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """One attack on one victim with one access, pooled, and where an example of it is."""

    board: str
    row: str
    column: str
    access: str
    experiment_id: int
    victim: int
    experiment_ids: tuple[int, ...]
    tally: Tally


@dataclass(frozen=True)
class Cost:
    """Sums over the done trials of a row's experiments; the largest l-infinity change."""

    trials: int
    seconds: float
    linf_255: int
    mean_l2: float
    ssim: float


Costs = dict[tuple[str, str], Cost]  # by board and row


@dataclass(frozen=True)
class Source:
    """What the boards are drawn from, loaded together."""

    specs: dict[int, Spec]  # of the examples
    models: dict[str, str]
    costs: Costs

    def victim(self, measured: Measured) -> dict[str, Any]:
        its: dict[str, Any] = self.specs[measured.experiment_id]["victims"][measured.victim]
        return its

    def attack(self, measured: Measured) -> dict[str, Any]:
        its: dict[str, Any] = self.specs[measured.experiment_id]["attack"]
        return its

    def is_control(self, measured: Measured) -> bool:
        return places.is_control(self.attack(measured)["name"])


def page(
    session: Session,
    dataset: str | None = None,
    profile: str | None = None,
    attack: str | None = None,
) -> list[Leaderboard]:
    """All boards, the fullest first; with ``attack``, its rows alone."""
    narrowed: list[ColumnElement[bool]] = []
    if dataset is not None:
        narrowed.append(Experiment.dataset == dataset)
    if profile is not None:
        narrowed.append(Experiment.profile == profile)
    if attack is not None:
        narrowed.append(Experiment.attack == attack)
    if narrowed:
        its = select(Experiment.id).where(*narrowed)
        narrowed = [OutcomeSum.experiment_id.in_(its)]
    boards = _boards(session, *narrowed)
    return sorted(boards, key=lambda board: (-_size(board), board.key))


def get(session: Session, key: str) -> Leaderboard:
    """One board by its key; NotFound where nothing was measured under that protocol."""
    for board in _boards(session, OutcomeSum.board_key == key):
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
    boards: dict[str, list[Any]] = defaultdict(list)
    for row in found:
        boards[row[0]].append(row)
    made = [_title(key, rows, specs) for key, rows in boards.items()]
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
        protocol=_in_words(spec, spec["victims"][victim]),
        setups=spec["data"]["setups"],
        counts=f"{spec['data']['poisons']:,} / {spec['data']['train_size']:,}",
        accesses=[access for access in ACCESS_ORDER if access in met] or [rows[0][1]],
        outcomes=sum(row[3] for row in rows),
    )


def _size(board: Leaderboard) -> int:
    return sum(cell.success.n for row in board.rows for cell in row.cells if cell)


def _boards(session: Session, *where: ColumnElement[bool]) -> list[Leaderboard]:
    """Four statements for any number of boards."""
    measured = _measured(session, *where)
    source = Source(
        _specs(session, {m.experiment_id for m in measured}),
        titles.checkpoint_models(session),
        _costs(session, *where),
    )
    groups: dict[str, list[Measured]] = defaultdict(list)
    for one in measured:
        groups[one.board].append(one)
    return [_board(key, found, source) for key, found in groups.items()]


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


def _board(key: str, found: Sequence[Measured], source: Source) -> Leaderboard:
    first = found[0]
    spec, victim = source.specs[first.experiment_id], source.victim(first)
    shown = _places(found, source)
    columns = _columns(shown, source)
    rows = [
        _row([m for m in found if m.row == row], shown, source)
        for row in dict.fromkeys(m.row for m in found)
    ]
    rows.sort(key=_order)
    data = titles.dataset(spec["data"]["dataset"])
    regime = titles.REGIMES.get(victim["regime"], victim["regime"])
    return Leaderboard(
        key=key,
        title=f"{data}, {regime}",
        dataset=spec["data"]["dataset"],
        profile=spec["profile"],
        precision=spec["precision"],
        protocol=_in_words(spec, victim),
        answer=answers.of_board(columns, rows),
        columns=columns,
        rows=rows,
    )


def _places(found: Sequence[Measured], source: Source) -> list[Measured]:
    """The columns, an example of each: every access and victim an attack met.

    The control does not craft on anything, so it has no access of its own: it stands in the
    columns of its victims. Where nothing but the control was run, its own are shown.
    """
    shown = [m for m in found if not source.is_control(m)] or list(found)
    unique: dict[tuple[str, str], Measured] = {}
    for one in shown:
        unique.setdefault((one.access, one.column), one)
    return sorted(
        unique.values(), key=lambda m: (ACCESS_ORDER.index(m.access), m.experiment_id, m.victim)
    )


def _columns(shown: Sequence[Measured], source: Source) -> list[LeaderboardColumn]:
    named = [(m.access, titles.victim(source.victim(m), source.models)) for m in shown]
    columns = []
    for one, (access, subtitle) in zip(shown, named, strict=True):
        is_twice = named.count((access, subtitle)) > 1
        name = source.victim(one).get("checkpoint")
        columns.append(
            LeaderboardColumn(
                key=f"{access}-{one.column}",
                title=ACCESS_TITLES[access],
                subtitle=f"{subtitle} ({name})" if is_twice else subtitle,
                access=access,
                regime=source.victim(one)["regime"],
            )
        )
    return columns


def _row(found: Sequence[Measured], shown: Sequence[Measured], source: Source) -> LeaderboardRow:
    attack = source.attack(found[0])
    knobs = {k: v for k, v in attack.items() if k != "name"}
    name = attack["name"]
    known = catalog.ATTACKS.get(name)
    cost = source.costs.get((found[0].board, found[0].row))
    is_control = source.is_control(found[0])
    return LeaderboardRow(
        key=found[0].row,
        attack=name,
        title=known.title if known else name,
        short=known.short if known else name,
        color=known.color if known else "#000000",
        marker=known.marker if known else "cross",
        budget=_budget(known, knobs),
        is_ranked=bool(
            known and known.budget in BOUNDED and not {"reference", "control"} & set(known.tags)
        ),
        knobs=knobs,
        linf_255=cost.linf_255 if cost else None,
        cells=[_cell(found, place, is_control) for place in shown],
        craft_seconds=cost.seconds / cost.trials if cost else None,
        mean_l2=cost.mean_l2 / cost.trials if cost else None,
        ssim=cost.ssim / cost.trials if cost else None,
    )


def _budget(known: catalog.Attack | None, knobs: dict[str, Any]) -> str:
    if known and known.budget == "unbounded":
        return "unbounded"
    return f"eps {knobs['eps_255']:g}/255" if "eps_255" in knobs else "none"


def _cell(found: Sequence[Measured], place: Measured, is_control: bool) -> LeaderboardCell | None:
    here = [
        m for m in found if m.column == place.column and (m.access == place.access or is_control)
    ]
    if not here:
        return None
    tally = here[0].tally
    for more in here[1:]:
        tally = tally + more.tally
    return LeaderboardCell(
        success=tally.success,
        twin=tally.twin,
        excess=tally.excess,
        clean_accuracy=tally.clean_accuracy,
        twin_clean_accuracy=tally.twin_clean_accuracy,
        experiment_ids=sorted({number for m in here for number in m.experiment_ids}),
    )


def _order(row: LeaderboardRow) -> tuple[float, ...]:
    """Ranked attacks first, then those that are only measured, then the control; each best first
    in the first column, ties by the next; what was not measured comes last.
    """
    group = 0 if row.is_ranked else 2 if places.is_control(row.attack) else 1
    return (group, *(-cell.success.rate if cell else 1.0 for cell in row.cells))


def _in_words(spec: Spec, victim: dict[str, Any]) -> str:
    data = spec["data"]
    setups = "drawn" if data["setups"] == "drawn" else f"from {data['setups']}"
    sides = [
        f"{side} class {data[field]}"
        for side, field in (("target", "target_class"), ("base", "base_class"))
        if data[field] is not None
    ]
    recipe = victim.get("recipe") or {}
    return "; ".join(
        [
            f"{data['poisons']} poisons among {data['train_size']:,} training images",
            f"setups {setups}" + (f" ({', '.join(sides)})" if sides else ""),
            "normalised" if data["normalize"] else "not normalised",
            f"victims trained for {recipe.get('epochs', '?')} epochs",
            f"profile {spec['profile']}, precision {spec['precision']}",
        ]
    )
