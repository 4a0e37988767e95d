"""A leaderboard as tables: one attack a row, and a heat map of attacks and victims."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from app import places
from app.board_schemas import Leaderboard, LeaderboardCell, LeaderboardColumn, LeaderboardRow
from app.queries import answers
from app.services.exports import Bar, Cell, Column, Table
from app.web import sheets, words

SHADES = 10


@dataclass(frozen=True)
class Line:
    """One attack against one victim of the board."""

    board: Leaderboard
    row: LeaderboardRow
    column: LeaderboardColumn
    cell: LeaderboardCell

    @property
    def href(self) -> str:
        return trials(self.board, self.row, self.column, self.cell)


def trials(
    board: Leaderboard, row: LeaderboardRow, column: LeaderboardColumn, cell: LeaderboardCell
) -> str:
    """The trials a cell counts: one experiment's, or the list of the experiments pooled."""
    if len(cell.experiment_ids) == 1:
        return f"/experiments/{cell.experiment_ids[0]}#trials"
    access, _, victim = column.key.partition("-")
    # a control has no access of its own: it stands in every column of its victims
    met = "" if places.is_control(row.attack) else access
    cell_key = f"{board.key}-{row.key}-{victim}-{met}"
    return f"/experiments?{urlencode({'group': 'no', 'cell': cell_key})}"


def row_words(board: Leaderboard, row: LeaderboardRow) -> str:
    """What tells a row from the others of its attack: the budget, then the knobs that differ."""
    alike = [other for other in board.rows if other.attack == row.attack]
    differ = [
        f"{name.replace('_', ' ')} {words.knob(value)}"
        for name, value in row.knobs.items()
        if name != "eps_255" and any(other.knobs.get(name) != value for other in alike)
    ]
    budget = [] if row.budget == "none" else [row.budget]
    is_aside = not row.is_ranked and not places.is_control(row.attack)
    return ", ".join([*budget, *differ, *(["not ranked"] if is_aside else [])])


def narrowed(board: Leaderboard, access: str) -> Leaderboard:
    """The board with the columns of one access, its first line about those alone."""
    at = [i for i, column in enumerate(board.columns) if column.access == access]
    rows = [row.model_copy(update={"cells": [row.cells[i] for i in at]}) for row in board.rows]
    rows = [row for row in rows if any(row.cells)]
    columns = [board.columns[i] for i in at]
    answer = answers.of_board(columns, rows)
    return board.model_copy(update={"columns": columns, "rows": rows, "answer": answer})


# --- one attack a row ------------------------------------------------------------------------

Sorter = Callable[[Line], Any]


def _attack(line: Line) -> Cell:
    mark = (line.row.marker, line.row.color)
    href = f"/attacks/{line.row.attack}"
    return Cell(line.row.title, row_words(line.board, line.row), href, mark)


def _rank(line: Line) -> Cell:
    rank = line.cell.rank
    return Cell(words.DASH if rank is None else str(rank))


def _victim(line: Line) -> Cell:
    return Cell(line.column.subtitle)


def _success(line: Line) -> Cell:
    its = line.cell.success
    return Cell(sheets.rate(its), f"{its.successes} of {its.n} trials", line.href)


def _axis(line: Line) -> Cell:
    cell, row = line.cell, line.row
    known = cell.published.percent / 100 if cell.published else None
    bar = Bar(cell.success, cell.twin, row.color, row.marker, known)
    return Cell("", href=line.href, bar=bar)


def _beside(line: Line) -> Cell:
    its = line.cell.published
    if its is None:
        return Cell(words.DASH)
    return Cell(f"{its.percent:g}", its.label if its.n is None else f"n = {its.n}")


def _interval(line: Line) -> Cell:
    its = line.cell.success
    return Cell(sheets.span(its), href=line.href)


def _excess(line: Line) -> Cell:
    its = line.cell.excess
    return Cell(sheets.excess(its), sheets.excess_span(its), line.href)


def _twin(line: Line) -> Cell:
    its = line.cell.twin
    return Cell(words.percent(its.rate), f"{its.successes} of {its.n}", line.href)


def _clean(line: Line) -> Cell:
    return Cell(words.percent(line.cell.clean_accuracy), words.points(_drop(line), 2), line.href)


def _drop(line: Line) -> float:
    return line.cell.clean_accuracy - line.cell.twin_clean_accuracy


def _change(line: Line) -> Cell:
    change = line.row.linf_255
    return Cell(words.DASH if change is None else f"{change}/255", href=line.href)


def _ssim(line: Line) -> Cell:
    return Cell(words.number(line.row.ssim, 3), href=line.href)


def _l2(line: Line) -> Cell:
    return Cell(words.number(line.row.mean_l2), href=line.href)


def _cost(line: Line) -> Cell:
    return Cell(words.duration(line.row.craft_seconds), href=line.href)


@dataclass(frozen=True)
class Part:
    """A column of the board that somebody may choose."""

    column: Column
    draw: Callable[[Line], Cell]
    by: Sorter | None = None


PARTS = [
    Part(Column("attack", "Attack", "Budget", False, sort="attack"), _attack,
         lambda line: line.row.title),
    Part(Column("victim", "Victim", is_number=False, sort="victim"), _victim,
         lambda line: line.column.subtitle),
    Part(Column("rank", "Rank", sort="rank"), _rank,
         lambda line: line.cell.rank or 1000),
    Part(Column("success", "Success, % ± SE", "Trials", sort="success"), _success,
         lambda line: line.cell.success.rate),
    Part(sheets.AXIS, _axis),
    Part(Column("published", "Published, %", "Its n"), _beside),
    Part(Column("interval", "95 % interval, %"), _interval),
    Part(Column("excess", "Excess over twin, points", "Its 95 % interval", sort="excess"), _excess,
         lambda line: line.cell.excess.value),
    Part(Column("twin", "Twin, %", "Twins"), _twin),
    Part(Column("clean", "Clean accuracy, %", "Against twin, points", sort="clean"), _clean,
         lambda line: line.cell.clean_accuracy),
    Part(Column("change", "Largest change", sort="change"), _change,
         lambda line: line.row.linf_255 or 0),
    Part(Column("ssim", "SSIM", sort="ssim"), _ssim, lambda line: line.row.ssim or 0),
    Part(Column("l2", "Mean l2"), _l2),
    Part(Column("cost", "Crafting, per trial", sort="cost"), _cost,
         lambda line: line.row.craft_seconds or 0),
]  # fmt: skip
DEFAULT = ("rank", "success", "axis", "excess", "clean", "change", "ssim", "cost")
SORTERS = {part.column.sort: part.by for part in PARTS if part.by}


def table(
    board: Leaderboard, shown: Sequence[str], sort: str, descending: bool, lines: list[Line]
) -> Table:
    """As asked for; unsorted, victims below each other, ranked attacks first and best first."""
    if sort:
        lines = sorted(lines, key=SORTERS[sort], reverse=descending)  # type: ignore[arg-type]
    always = {"attack", "victim"} if len(board.columns) > 1 else {"attack"}
    parts = [part for part in PARTS if part.column.key in always | set(shown)]
    rows = [[part.draw(line) for part in parts] for line in lines]
    return Table("leaderboard", board.title, [part.column for part in parts], rows)


def lines_of(board: Leaderboard) -> list[Line]:
    return [
        Line(board, row, column, cell)
        for at, column in enumerate(board.columns)
        for row in _by_rate(board.rows, at)
        if (cell := row.cells[at]) is not None
    ]


def _by_rate(rows: Sequence[LeaderboardRow], at: int) -> list[LeaderboardRow]:
    """Ranked attacks, those only measured, the control; each the best in this column first."""

    def order(row: LeaderboardRow) -> tuple[int, float]:
        group = 0 if row.is_ranked else 2 if places.is_control(row.attack) else 1
        cell = row.cells[at]
        return group, -cell.success.rate if cell else 1.0

    return sorted(rows, key=order)


# --- attack x victim -------------------------------------------------------------------------


def heat_map(board: Leaderboard) -> Table:
    columns = [Column("attack", "Attack", "Budget", False)]
    columns += [
        Column(column.key, f"{column.title}: {column.subtitle}", "Trials")
        for column in board.columns
    ]
    rows = []
    for row in board.rows:
        first = Cell(row.title, row_words(board, row), f"/attacks/{row.attack}",
                     (row.marker, row.color))  # fmt: skip
        rows.append([first, *(_heat(board, row, at) for at in range(len(board.columns)))])
    return Table(
        "heat", f"Success of every attack on every victim, {board.title}, %", columns, rows
    )


def _heat(board: Leaderboard, row: LeaderboardRow, at: int) -> Cell:
    cell, column = row.cells[at], board.columns[at]
    if cell is None:
        return Cell(words.DASH)
    rate = cell.success
    return Cell(
        words.percent(rate.rate),
        f"{rate.successes} of {rate.n}",
        trials(board, row, column, cell),
        shade=round(SHADES * rate.rate),
    )
