"""Tables of rates, and the same table as text, Markdown, LaTeX, CSV and JSON. No torch in here.

A table's lines are words, made once: every form shows the same words, so that what is exported
equals the screen. The numbers behind them stand in the cells, and go into JSON unrounded.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from poisoning import stats
from poisoning.published import NOTHING, Published
from poisoning.stats import Interval


@dataclass(frozen=True)
class Cell:
    """One rate beside its twins' and a published one. Fractions, but for what says percent."""

    row: str
    column: str
    experiment: str  # its title
    victims: tuple[int, ...]  # several: their mean
    planned: int  # trials
    n: int = 0  # trials done; without any there is nothing else
    access: str = "-"
    successes: float = 0.0  # of n; of several victims their mean
    interval: Interval | None = None
    twin_successes: float = 0.0
    excess: float = 0.0
    excess_interval: Interval | None = None
    clean_accuracy: float = 0.0
    twin_clean_accuracy: float = 0.0
    linf_255: int = 0  # the largest change of any poison
    ssim: float = 0.0  # mean
    published: Published = NOTHING
    verdict: str = ""  # on the published statement; empty where nothing is compared
    note: str = ""


HEADER = (
    "row", "column", "access", "n", "success %", "95 % interval", "twin %", "excess",
    "clean %", "drop", "largest change", "SSIM", "published", "verdict", "note",
)  # fmt: skip


@dataclass(frozen=True)
class Table:
    """``cells`` are the numbers behind ``lines``; a table of settings has none."""

    title: str
    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    cells: tuple[Cell, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of_cells(cls, title: str, cells: tuple[Cell, ...], notes: tuple[str, ...] = ()) -> "Table":
        """One line a cell; columns in which all lines are empty are left out."""
        lines = [in_words(cell) for cell in cells]
        kept = [i for i in range(len(HEADER)) if i < 6 or any(line[i] != "-" for line in lines)]
        header = tuple(HEADER[i] for i in kept)
        if any(cell.interval and cell.interval.is_sequential for cell in cells):
            notes = (*notes, stats.SEQUENCE_NOTE)
        return cls(title, header, tuple(tuple(line[i] for i in kept) for line in lines), cells,
                   notes)  # fmt: skip


def in_words(cell: Cell) -> tuple[str, ...]:
    """A cell's line under HEADER; '-' where there is nothing to say."""
    before = (cell.row, cell.column, cell.access, f"{cell.n} of {cell.planned}")
    after = (published_in_words(cell.published), cell.verdict or "-", cell.note or "-")
    if cell.n == 0 or cell.interval is None or cell.excess_interval is None:
        return (*before, *("-",) * 8, *after)
    error = stats.standard_error(cell.successes, cell.n)
    drop = cell.twin_clean_accuracy - cell.clean_accuracy
    return (
        *before[:3],
        str(cell.n) if cell.n == cell.planned else before[3],
        f"{100 * cell.successes / cell.n:.1f} ± {100 * error:.1f}",
        cell.interval.in_words(),
        f"{100 * cell.twin_successes / cell.n:.1f}",
        f"{100 * cell.excess:+.1f} {cell.excess_interval.in_words('+')}",
        f"{100 * cell.clean_accuracy:.1f}",
        f"{100 * drop:+.1f}",
        f"{cell.linf_255}/255",
        f"{cell.ssim:.3f}",
        *after,
    )


def published_in_words(published: Published) -> str:
    """The number, bound or direction, and how far it can be trusted."""
    if published.label == NOTHING.label:
        return "-"
    said = []
    if published.percent is not None:
        said.append(f"{published.percent:g}")
    if published.below is not None:
        said.append(f"below {published.below:g}")
    if published.direction is not None:
        said.append(published.direction)
    if published.label != "published":
        said.append(f"({published.label})")
    return " ".join(said)


# --- forms ------------------------------------------------------------------------------------


def to_text(table: Table) -> str:
    """Columns aligned by blanks."""
    rows = [table.header, *table.lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([table.title, "", *lines, *(["", *table.notes] if table.notes else [])]) + "\n"


def to_markdown(table: Table) -> str:
    lines = markdown_lines(table.header, table.lines)
    notes = [part for note in table.notes for part in ("", _plain(note))]
    return "\n".join([f"### {table.title}", "", *lines, *notes]) + "\n"


def markdown_lines(header: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """A table without title and notes."""
    rows = [header, ("---",) * len(header), *lines]
    return ["| " + " | ".join(_plain(word) for word in row) + " |" for row in rows]


def _plain(word: str) -> str:
    """What Markdown takes neither for the end of a cell nor for HTML nor for emphasis."""
    return word.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


_TEX = {
    "\\": r"\textbackslash{}", "%": r"\%", "&": r"\&", "_": r"\_", "#": r"\#", "$": r"\$",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$",
    "+": "{+}", "[": "{[}", "]": "{]}", "−": "$-$", "–": "--", "<": "$<$", ">": "$>$",
}  # fmt: skip


def to_latex(table: Table) -> str:
    """A booktabs table; needs \\usepackage{booktabs}."""
    lines = [" & ".join(map(_tex, row)) + r" \\" for row in (table.header, *table.lines)]
    notes = " ".join(_tex(note) for note in table.notes)
    caption = ". ".join(part for part in (_tex(table.title), notes) if part)
    parts = [
        r"\begin{table}", r"\centering", rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{{'l' * len(table.header)}}}", r"\toprule", lines[0], r"\midrule",
        *lines[1:], r"\bottomrule", r"\end{tabular}", r"\end{table}",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)


def to_csv(table: Table) -> str:
    """RFC 4180; a word that a spreadsheet would take for a formula has a quote before it."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(table.header)
    writer.writerows([inert(word) for word in line] for line in table.lines)
    return out.getvalue()


def inert(word: str) -> str:
    is_number = word[:1] in "+-" and word[1:2].isdigit()
    return f"'{word}" if word[:1] in tuple("=@+-\t") and word != "-" and not is_number else word


def to_json(table: Table) -> str:
    """Words and numbers."""
    return json.dumps(asdict(table), indent=1, ensure_ascii=False) + "\n"


FORMS: dict[str, Callable[[Table], str]] = {
    "txt": to_text,
    "md": to_markdown,
    "tex": to_latex,
    "csv": to_csv,
    "json": to_json,
}
