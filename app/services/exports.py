"""A table as it stands on the screen, and as a file that says where it is from.

A page draws its tables from the same objects, so that what is exported equals what is shown. A
cell may have a second line; in a file that is a column of its own. Files that programs read, CSV
and JSON, have "-" where the screen has a true minus.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from app.errors import Invalid
from app.schemas import Rate
from poisoning import __version__, stats, tables
from poisoning.source import source

MARKED = re.compile(rf"[\d\]]{re.escape(stats.MARK)}")


@dataclass(frozen=True)
class Span:
    """A rate that is no count of trials, such as the mean over two victims (fractions)."""

    rate: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Bar:
    """A rate with its interval and its twin's, drawn on the column's axis and in figures."""

    success: Rate | Span
    twin: Rate | Span | None
    color: str
    marker: str
    published: float | None = None


@dataclass(frozen=True)
class Cell:
    """What one cell says; ``href`` is what it was counted from."""

    text: str
    sub: str = ""
    href: str = ""
    mark: tuple[str, str] | None = None  # marker and colour of an attack
    bar: Bar | None = None
    shade: int | None = None  # 0 to 10, of a heat map


@dataclass(frozen=True)
class Column:
    """``sub`` is the title of the cells' second line, where they have one."""

    key: str
    title: str
    sub: str = ""
    is_number: bool = True
    is_axis: bool = False  # drawn, not written
    sort: str = ""  # what its head sorts by


@dataclass(frozen=True)
class Table:
    """The first column names the row."""

    key: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    @property
    def is_drawn(self) -> bool:
        """Whether anything in it is drawn on an axis, so that there is a figure of it."""
        return any(cell.bar for row in self.rows for cell in row)

    @property
    def footnotes(self) -> tuple[str, ...]:
        """What the mark of a confidence sequence means, where no note explains it."""
        texts = (text for line in self.lines() for text in line)
        is_marked = any(MARKED.search(text) for text in texts)
        return (stats.SEQUENCE_NOTE,) if is_marked and stats.SEQUENCE_NOTE not in self.notes else ()

    def heads(self) -> list[str]:
        found = []
        for column in self.columns:
            if not column.is_axis:
                found += [column.title, column.sub] if column.sub else [column.title]
        return found

    def lines(self) -> list[list[str]]:
        made = []
        for row in self.rows:
            line: list[str] = []
            for column, cell in zip(self.columns, row, strict=True):
                if not column.is_axis:
                    line += [cell.text, cell.sub] if column.sub else [cell.text]
            made.append(line)
        return made


@dataclass(frozen=True)
class Origin:
    """Where an export is from: the page's address, the moment, the program's version."""

    permalink: str
    at: datetime
    commit: str

    def lines(self) -> list[str]:
        moment = self.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
        return [self.permalink, f"taken {moment}", f"dosimeter {__version__}, commit {self.commit}"]


@dataclass(frozen=True)
class File:
    name: str
    media_type: str
    text: str


def export(table: Table, form: str, origin: Origin) -> File:
    """CSV, JSON, Markdown or LaTeX (booktabs); Invalid where the format is none of these."""
    if form not in FORMATS:
        raise Invalid.field(
            "format", f"there is no format {form!r}", f"one of: {', '.join(FORMATS)}"
        )
    media_type, suffix, comment = FORMATS[form]
    lines = tuple(tuple(line) for line in table.lines())
    if form in ("csv", "json"):
        lines = tuple(tuple(text.replace("−", "-") for text in line) for line in lines)
    # JSON has no comments: there the origin is one of its fields
    notes = (*table.notes, *table.footnotes, *([] if comment else origin.lines()))
    text = tables.FORMS[suffix](tables.Table(table.title, tuple(table.heads()), lines, notes=notes))
    said = [*origin.lines(), *(table.footnotes if form == "csv" else ())]  # CSV has no notes
    head = [comment.format(line.replace("--", "- -")) for line in said if comment]
    return File(f"dosimeter-{table.key}.{suffix}", media_type, "\n".join([*head, text]))


# format -> media type, ending, how a line that is no part of the table is written
FORMATS = {
    "csv": ("text/csv; charset=utf-8", "csv", "# {}"),
    "json": ("application/json", "json", ""),
    "markdown": ("text/markdown; charset=utf-8", "md", "<!-- {} -->"),
    "latex": ("application/x-tex; charset=utf-8", "tex", "% {}"),
}


def commit() -> str:
    """The commit this program is of, where that is known."""
    return source().short
