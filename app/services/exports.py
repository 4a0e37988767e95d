"""A table as it stands on the screen, as CSV, JSON, Markdown or LaTeX, with where it is from.

A page draws its tables from the same objects, so that what is exported equals what is shown. A
cell may have a second line; in a file that is a column of its own.
"""

import csv
import io
import json
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from app.errors import Invalid
from app.schemas import Rate
from poisoning import __version__

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Bar:
    """A rate with its interval and its twin's, drawn on the column's axis; never exported."""

    success: Rate
    twin: Rate | None
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
    """Invalid where the format is none."""
    if form not in FORMATS:
        raise Invalid.field(
            "format", f"there is no format {form!r}", f"one of: {', '.join(FORMATS)}"
        )
    media_type, suffix, write = FORMATS[form]
    return File(f"dosimeter-{table.key}.{suffix}", media_type, write(table, origin))


@cache
def commit() -> str:
    """The commit this program is of, where it runs from a checkout."""
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=ROOT, capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "not known"
    return asked.stdout.strip()


def _csv(table: Table, origin: Origin) -> str:
    out = io.StringIO()
    for line in origin.lines():
        out.write(f"# {line}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_inert(text) for text in table.heads()])
    writer.writerows([_inert(text) for text in line] for line in table.lines())
    return out.getvalue()


def _inert(text: str) -> str:
    """A spreadsheet takes some beginnings for formulas; a title must not become one."""
    is_formula = re.match(r"[=@\t\r]|[+-](?![\d.])", text)
    return f"'{text}" if is_formula else text


def _json(table: Table, origin: Origin) -> str:
    heads = table.heads()
    whole: dict[str, Any] = {
        "title": table.title,
        "permalink": origin.permalink,
        "date": origin.at.astimezone(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "commit": origin.commit,
        "columns": heads,
        "rows": [dict(zip(heads, line, strict=True)) for line in table.lines()],
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _markdown(table: Table, origin: Origin) -> str:
    def line(texts: Sequence[str]) -> str:
        return (
            "| " + " | ".join(re.sub(r"([\\|<>*_`\[\]])", r"\\\1", text) for text in texts) + " |"
        )

    heads = table.heads()
    rule = "|" + "|".join([" --- "] + [" ---: "] * (len(heads) - 1)) + "|"
    rows = [line(texts) for texts in table.lines()]
    notes = [f"<!-- {text.replace('--', '- -')} -->" for text in origin.lines()]
    return "\n".join([*notes, "", line(heads), rule, *rows, ""])


LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "−": r"$-$", "–": "--", "<": r"$<$", ">": r"$>$", "·": r"$\cdot$",
    "\u00a0": "~", "\n": " ",
}  # fmt: skip


def _latex(table: Table, origin: Origin) -> str:
    def line(texts: Sequence[str]) -> str:
        escaped = ("".join(LATEX.get(letter, letter) for letter in text) for text in texts)
        return "  " + " & ".join(escaped) + r" \\"

    heads = table.heads()
    made = [f"% {text}" for text in origin.lines()]
    made += [r"\begin{tabular}{l" + "r" * (len(heads) - 1) + "}", r"  \toprule", line(heads)]
    made += [r"  \midrule", *(line(texts) for texts in table.lines())]
    return "\n".join([*made, r"  \bottomrule", r"\end{tabular}", ""])


Writer = Callable[[Table, Origin], str]
# format -> media type, ending, writer
FORMATS: dict[str, tuple[str, str, Writer]] = {
    "csv": ("text/csv; charset=utf-8", "csv", _csv),
    "json": ("application/json", "json", _json),
    "markdown": ("text/markdown; charset=utf-8", "md", _markdown),
    "latex": ("application/x-tex; charset=utf-8", "tex", _latex),
}
