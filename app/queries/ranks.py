"""Shared ranks on a leaderboard: attacks of one budget, in pairs on the setups they share."""

from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, and_, cast, select
from sqlalchemy.orm import Session

from app.board_schemas import Leaderboard, LeaderboardCell, LeaderboardRow, RankPair
from app.models import Outcome, OutcomeSum, Trial
from poisoning import stats

Place = tuple[str, str]  # keys of a row and of a column of the board
Fallen = dict[Hashable, bool]  # setup -> whether the victim fell
KEPT = 64


@dataclass(frozen=True)
class Standing:
    """The rank of every ranked attack in every column, and the tests it rests on."""

    ranks: dict[Place, int]
    pairs: list[RankPair]


_known: dict[tuple[Any, ...], Standing] = {}


def placed(session: Session, board: Leaderboard) -> Leaderboard:
    """The board with the rank of every ranked attack in every column, among those of its budget.

    Attacks that cannot be told apart share a rank; one that has nobody beside it has none.
    """
    standing = _standing(session, board)

    def cell_at(row: LeaderboardRow, at: int) -> LeaderboardCell | None:
        cell, rank = row.cells[at], standing.ranks.get((row.key, board.columns[at].key))
        return cell.model_copy(update={"rank": rank}) if cell and rank else cell

    rows = [
        row.model_copy(update={"cells": [cell_at(row, at) for at in range(len(row.cells))]})
        for row in board.rows
    ]
    return board.model_copy(update={"rows": rows, "pairs": standing.pairs})


def _standing(session: Session, board: Leaderboard) -> Standing:
    """Kept in memory until the board counts more trials, or trials are counted otherwise."""
    counted = sum(cell.success.n for row in board.rows for cell in row.cells if cell)
    columns = tuple(column.key for column in board.columns)
    looked = sum(_is_sequential(cell) for row in board.rows for cell in row.cells)
    mark = (str(session.get_bind().engine.url), board.key, columns, counted, looked)
    if mark not in _known:
        while len(_known) >= KEPT:
            _known.pop(next(iter(_known)), None)
        _known[mark] = _ranked(_fallen(session, board), board)
    return _known[mark]


def _ranked(fallen: dict[Place, Fallen], board: Leaderboard) -> Standing:
    found = Standing({}, [])
    for at, column in enumerate(board.columns):
        looked = {row.key for row in board.rows if _is_sequential(row.cells[at])}
        peers: dict[str, dict[str, Mapping[Hashable, bool]]] = defaultdict(dict)
        for row in board.rows:
            if row.is_ranked and (row.key, column.key) in fallen:
                peers[row.budget][row.key] = fallen[row.key, column.key]
        for group in peers.values():
            if len(group) > 1:
                tests = stats.pair_tests(group, looked & group.keys())
                ranks = stats.ranked(group, tests)
                found.ranks.update({(row, column.key): rank for row, rank in ranks.items()})
                found.pairs.extend(_pair(column.key, test) for test in tests)
    return found


def _is_sequential(cell: LeaderboardCell | None) -> bool:
    return cell is not None and cell.success.interval == "confidence_sequence"


def _pair(column: str, test: stats.PairTest) -> RankPair:
    return RankPair(
        column=column,
        first=test.first,
        second=test.second,
        shared=test.shared,
        only_first=test.only_first,
        only_second=test.only_second,
        p=test.p,
        adjusted=test.adjusted,
        is_sequential=test.is_sequential,
        better=test.better(),
    )


def _fallen(session: Session, board: Leaderboard) -> dict[Place, Fallen]:
    """Which setups fell to which row in which column; a setup carried through twice, once."""
    its = and_(
        Outcome.experiment_id == OutcomeSum.experiment_id,
        Outcome.victim == OutcomeSum.victim,
        Outcome.access == OutcomeSum.access,
    )
    statement = (
        select(
            OutcomeSum.row_key,
            OutcomeSum.access,
            OutcomeSum.column_key,
            Outcome.success,
            Trial.target_class,
            Trial.target_index,
            Trial.base_class,
            cast(Trial.base_indices, Text),
        )
        .join(Outcome, its)
        .join(Trial, Trial.id == Outcome.trial_id)
        .where(
            OutcomeSum.board_key == board.key,
            OutcomeSum.is_repeat.is_(False),
            OutcomeSum.row_key.in_([row.key for row in board.rows if row.is_ranked]),
            OutcomeSum.access.in_({column.access for column in board.columns}),
        )
        .order_by(Outcome.id)
    )
    found: dict[Place, Fallen] = defaultdict(dict)
    for row, access, column, success, *setup in session.execute(statement):
        found[row, f"{access}-{column}"].setdefault(tuple(setup), success)
    return found
