"""A study's tables, measured beside published, for its page and as files."""

from sqlalchemy.orm import Session

from app.queries import results
from app.schemas import StudyView
from app.services.exports import Cell, Column, Table
from poisoning import tables
from poisoning.spec import FieldError
from poisoning.studies import STUDIES

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
    return [_sheet(f"t{number}", table, addresses) for number, table in enumerate(made)]


def faults(session: Session, item: StudyView) -> list[str]:
    """What does not hold of what the study claims, once all of it is done."""
    study = STUDIES.get(item.name)
    if study is None or item.state != "done":
        return []
    return study.verdict(results.of_study(session, item.id))


def _sheet(key: str, table: tables.Table, addresses: dict[str, str]) -> Table:
    columns = [
        Column(name, name[:1].upper() + name[1:], is_number=bool(table.cells) and name not in WORDS)
        for name in table.header
    ]
    rows = []
    for number, line in enumerate(table.lines):
        title = table.cells[number].experiment if table.cells else line[0]
        href = addresses.get(title, "")
        rows.append([Cell(word, href=href if not place else "") for place, word in enumerate(line)])
    return Table(key, table.title, columns, rows, table.notes)
