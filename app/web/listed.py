"""The list of experiments as a table: what its rows say, without its links and its progress bars.

A cell that names several victims has them in the list's order, with semicolons between.
"""

from collections.abc import Callable, Iterable, Sequence

from app.schemas import ExperimentSeries, VictimSummary
from app.services.exports import Cell, Column, Table
from app.web import listing, sheets, words

Said = Callable[[ExperimentSeries], str]
SUBS = {"data": "Profile"}  # titles of second lines
FIRST = Column("title", "Experiment", "Pooled", is_number=False)


def table(rows: Iterable[ExperimentSeries], chosen: Sequence[str], notes: tuple[str, ...]) -> Table:
    """All rows, with the columns that the page shows."""
    columns = [
        Column(column.key, column.title, SUBS.get(column.key, ""), column.is_number)
        for column in listing.COLUMNS
        if column.key in chosen
    ]
    body = [[_title(row), *(_cell(row, column.key) for column in columns)] for row in rows]
    return Table("experiments", "Experiments", [FIRST, *columns], body, notes)


def _title(row: ExperimentSeries) -> Cell:
    text = f"#{row.newest.id} {row.newest.title}"
    if len(row.ids) == 1:
        return Cell(text)
    pooled = f"{words.plural(row.seeds, 'seed')} pooled"
    again = f", of {len(row.ids)} runs" if len(row.ids) > row.seeds else ""
    return Cell(text, pooled + again)


def _cell(row: ExperimentSeries, key: str) -> Cell:
    if key == "data":
        fast = ", fast" if row.newest.precision == "fast" else ""
        return Cell(row.newest.dataset_title, f"{row.newest.profile}{fast}")
    return Cell(SAID[key](row) or words.DASH)


def _states(row: ExperimentSeries) -> str:
    if len(row.ids) == 1:
        return next(iter(row.states))
    return "; ".join(f"{state} {count}" for state, count in row.states.items())


def _budget(row: ExperimentSeries) -> str:
    eps_255 = row.spec["attack"].get("eps_255")
    return "" if eps_255 is None else f"{words.knob(eps_255)}/255"


def _poisons(row: ExperimentSeries) -> str:
    data = row.spec["data"]
    return f"{words.number(data['poisons'])} / {words.number(data['train_size'])}"


def _success(victim: VictimSummary) -> str:
    its = victim.success
    return f"{words.access(victim.access)} {sheets.rate(its)} n = {its.n}" if its else ""


def _interval(victim: VictimSummary) -> str:
    return sheets.span(victim.success) if victim.success else ""


def _twin(victim: VictimSummary) -> str:
    return words.percent(victim.twin.rate) if victim.twin else words.DASH


def _excess(victim: VictimSummary) -> str:
    its = victim.excess
    return f"{sheets.excess(its)} {sheets.excess_span(its)}" if its else words.DASH


def _each(say: Callable[[VictimSummary], str]) -> Said:
    """Of every victim that was judged."""
    return lambda row: "; ".join(say(victim) for victim in row.newest.victims if victim.success)


SAID: dict[str, Said] = {
    "state": _states,
    "attack": lambda row: row.newest.attack_title,
    "budget": _budget,
    "poisons": _poisons,
    "seeds": lambda row: str(row.seeds),
    "trials": lambda row: f"{words.number(row.trials_done)} / {words.number(row.trials_total)}",
    "success": _each(_success),
    "interval": _each(_interval),
    "twin": _each(_twin),
    "excess": _each(_excess),
    "clean": _each(lambda victim: words.percent(victim.clean_accuracy)),
    "tags": lambda row: ", ".join(row.tags),
    "notes": lambda row: " ".join(row.notes.split()),
    "study": lambda row: str(row.newest.study_id or ""),
    "created": lambda row: words.moment(row.newest.created_at),
}
