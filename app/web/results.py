"""A study's tables, measured beside published, for its page and as files."""

from sqlalchemy.orm import Session

from app.queries import results
from app.schemas import StudyView
from app.services.exports import Bar, Cell, Column, Span, Table
from app.web import sheets, words
from poisoning import stats, tables
from poisoning.spec import FieldError
from poisoning.stats import Interval
from poisoning.studies import STUDIES

INTERVAL = "95 % interval"
WORDS = ("row", "column", "access", "published", "verdict", "note")  # columns that hold no number


def of_study(session: Session, item: StudyView) -> list[Table]:
    """Its tables as they stand now; none where the study is no longer known."""
    study = STUDIES.get(item.name)
    if study is None:
        return []
    try:
        made = study.tables(results.of_study(session, item.id), item.profile)  # type: ignore[arg-type]
    except (FieldError, ValueError):  # launched by an earlier version, with other experiments
        return []
    addresses = {one.title: f"/experiments/{one.id}" for one in item.experiments}
    attacks = {one.title: one.attack for one in item.experiments}
    return [_sheet(f"t{number}", table, addresses, attacks) for number, table in enumerate(made)]


def faults(session: Session, item: StudyView) -> list[str]:
    """What does not hold of what the study claims, once all of it is done."""
    study = STUDIES.get(item.name)
    if study is None or item.state != "done":
        return []
    return study.verdict(results.of_study(session, item.id))


def _sheet(
    key: str, table: tables.Table, addresses: dict[str, str], attacks: dict[str, str]
) -> Table:
    """``addresses`` and ``attacks`` by the experiments' titles."""
    columns = [
        Column(name, name[:1].upper() + name[1:], is_number=bool(table.cells) and name not in WORDS)
        for name in table.header
    ]
    drawn = [_bar(cell, attacks) for cell in table.cells]
    axis = table.header.index(INTERVAL) + 1 if any(drawn) else None
    if axis is not None:
        columns.insert(axis, sheets.AXIS)
    rows = []
    for number, line in enumerate(table.lines):
        title = table.cells[number].experiment if table.cells else line[0]
        href = addresses.get(title, "")
        said = map(words.true_minus, line)
        row = [Cell(word, href=href if not place else "") for place, word in enumerate(said)]
        if axis is not None:
            row.insert(axis, Cell("", href=href, bar=drawn[number]))
        rows.append(row)
    return Table(key, table.title, columns, rows, table.notes)


def _bar(cell: tables.Cell, attacks: dict[str, str]) -> Bar | None:
    """A cell's rate and its twins'. A mean over several victims' twins has no interval."""
    if cell.interval is None:
        return None
    n, victims = cell.n, len(cell.victims)
    twin = cell.twin_successes / n
    is_sequential = cell.interval.is_sequential
    around = Interval(twin, twin)
    if victims == 1:
        around = stats.estimate(cell.twin_successes, n, is_sequential=is_sequential).interval
    marker, color = sheets.look(attacks.get(cell.experiment, ""))
    known = cell.published.percent
    return Bar(
        Span(cell.successes / n, cell.interval.low, cell.interval.high, n),
        Span(twin, around.low, around.high, n),
        color,
        marker,
        None if known is None else known / 100,
    )
