"""What a table draws, as a figure for a paper: PDF, SVG or PNG.

Drawn from the same cells as the page's own bars, so that a figure equals the screen. Colours and
markers are the attacks' own; the hollow square below a mark is the clean twin, as on the page.
"""

import io
import textwrap
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from app.errors import Invalid
from app.services.exports import Bar, Cell, Origin, Table
from poisoning import __version__, stats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Form = Literal["pdf", "svg", "png"]
FORMS: dict[str, str] = {
    "pdf": "application/pdf", "svg": "image/svg+xml", "png": "image/png",
}  # fmt: skip
WIDTHS = {"column": 3.35, "page": 6.9}  # inches, of a two-column paper
ROW, HEAD, FOOT, EDGE = 0.27, 0.32, 0.68, 0.05  # inches: of a row, above, below, all around
LETTER = 0.061  # inches of a letter, on average
DPI = 300
MARKERS = {"circle": "o", "square": "s", "diamond": "D", "triangle": "^", "triangle-up": "^",
           "triangle-down": "v", "hexagon": "h", "star": "*", "cross": "X"}  # fmt: skip
INK, FAINT, TWIN = "#1f2328", "#59636e", "#8a9099"
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "pdf.fonttype": 42,  # TrueType: text stays text
    "svg.fonttype": "none",
    "svg.hashsalt": "dosimeter",  # the same drawing has the same bytes
    "axes.unicode_minus": True,
}
_drawing = threading.Lock()  # matplotlib's settings belong to the whole process


@dataclass(frozen=True)
class Row:
    """One bar; ``group`` heads those that follow each other with the same."""

    group: str
    label: str
    value: str
    bar: Bar


def draw(table: Table, form: str, width: str, origin: Origin) -> bytes:
    """The bars of a table on one axis from 0 to 100 %, ``width`` "column" or "page".

    Invalid names the format or the width that there is not, or a table that draws nothing.
    """
    if form not in FORMS:
        raise Invalid.field("format", f"no figure is a {form!r}", f"one of: {', '.join(FORMS)}")
    if width not in WIDTHS:
        raise Invalid.field("width", f"is {width!r}", f"one of: {', '.join(WIDTHS)}")
    rows = _rows(table)
    if not rows:
        raise Invalid.field(
            "table", f"nothing of {table.title!r} is drawn yet", "take it as a table"
        )
    import matplotlib

    with _drawing, matplotlib.rc_context(STYLE):
        return _saved(_figure(table, rows, WIDTHS[width], origin), form, table.title, origin)


def _rows(table: Table) -> list[Row]:
    """Rows that have a bar; what names them further, a victim or a column, heads them."""
    by_key = {column.key: at for at, column in enumerate(table.columns)}
    group = next((by_key[key] for key in ("victim", "column") if key in by_key), None)
    success = next((by_key[key] for key in ("success", "success %") if key in by_key), None)
    found = []
    for row in table.rows:
        bar = next((cell.bar for cell in row if cell.bar), None)
        if bar is not None:
            head = _joined(row[group]) if group is not None else ""
            value = row[success].text if success is not None else ""
            found.append(Row(head, _joined(row[0]), value, bar))
    heads = list(dict.fromkeys(row.group for row in found))
    return sorted(found, key=lambda row: heads.index(row.group))


def _joined(cell: Cell) -> str:
    return f"{cell.text}, {cell.sub}" if cell.sub else cell.text


def _figure(table: Table, rows: Sequence[Row], width: float, origin: Origin) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    labels = [textwrap.wrap(row.label, int(0.42 * width / LETTER)) for row in rows]
    taken = [max(1.0, 0.62 * len(label)) for label in labels]  # rows of one line
    heads = sum(bool(row.group) for row in _firsts(rows))
    height = HEAD + ROW * (sum(taken) + 1.25 * heads) + FOOT
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    longest = max(len(line) for label in labels for line in label)
    left = 2 * EDGE + LETTER * longest
    right = EDGE + LETTER * max(len(row.value) for row in rows) + 0.12
    axes = figure.add_axes(
        (left / width, FOOT / height, 1 - (left + right) / width, 1 - (HEAD + FOOT) / height)
    )
    across, inch = axes.get_yaxis_transform(), 1 / (width - left - right)
    y = 0.0
    for row, label, share in zip(rows, labels, taken, strict=True):
        if row.group and row in _firsts(rows):
            axes.text((EDGE - left) * inch, y + 0.1, row.group, transform=across, va="center",
                      weight="bold", color=INK)  # fmt: skip
            y += 1
        y += (share - 1) / 2
        axes.text((EDGE - left) * inch, y, "\n".join(label), transform=across, va="center",
                  color=INK)  # fmt: skip
        axes.text(1 + (right - EDGE) * inch, y, row.value, transform=across, va="center",
                  ha="right", color=INK)  # fmt: skip
        _bar(axes, y, row.bar)
        is_last = row is rows[-1] or rows[rows.index(row) + 1].group != row.group
        y += (1.25 if is_last and row.group else 1) + (share - 1) / 2
    _axes(axes, y)
    figure.text(EDGE / width, 1 - EDGE / height, table.title, va="top", weight="bold", color=INK,
                size=8.5)  # fmt: skip
    n = sorted({row.bar.success.n for row in rows})
    trials = f"n = {n[0]}" if len(n) == 1 else f"n = {n[0]} to {n[-1]}"
    said = [f"{trials}; bars are 95 % intervals, hollow squares clean twins" + _published(rows)]
    said += [note for note in (*table.notes, *table.footnotes) if note == stats.SEQUENCE_NOTE]
    said += [", ".join(origin.lines()[1:]), origin.permalink]
    figure.text(EDGE / width, EDGE / height, "\n".join(said), va="bottom", color=FAINT, size=5.2,
                linespacing=1.35)  # fmt: skip
    return figure


def _firsts(rows: Sequence[Row]) -> list[Row]:
    """The first row of each group."""
    return list({row.group: row for row in reversed(rows)}.values())


def _published(rows: Sequence[Row]) -> str:
    return ", open circles published" if any(r.bar.published is not None for r in rows) else ""


def _bar(axes: "Axes", y: float, bar: Bar) -> None:
    success, twin = bar.success, bar.twin
    if twin is not None:
        axes.plot([100 * twin.low, 100 * twin.high], [y + 0.24] * 2, color=TWIN, lw=0.8, zorder=2)
        axes.plot([100 * twin.rate], [y + 0.24], "s", color=TWIN, mfc="white", ms=2.6, mew=0.7,
                  zorder=3, clip_on=False)  # fmt: skip
    axes.plot([100 * success.low, 100 * success.high], [y] * 2, color=bar.color, lw=1.8, zorder=4,
              solid_capstyle="butt")  # fmt: skip
    shape = bar.marker.replace("-open", "").replace("-dot", "")
    is_solid = shape == bar.marker
    axes.plot([100 * success.rate], [y], MARKERS.get(shape, "o"), color=bar.color, ms=4.6,
              mfc=bar.color if is_solid else "white", mew=0 if is_solid else 1.2, zorder=5,
              clip_on=False)  # fmt: skip
    if bar.published is not None:
        axes.plot([100 * bar.published], [y], "o", color=INK, mfc="none", ms=5.6, mew=0.8, zorder=6,
                  clip_on=False)  # fmt: skip


def _axes(axes: "Axes", rows: float) -> None:
    axes.set_xlim(0, 100)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel("Success rate, %", color=INK, labelpad=2)
    axes.set_yticks([])
    axes.tick_params(axis="both", length=0, colors=INK, pad=3)
    axes.grid(axis="x", color="#d9dde2", lw=0.5, zorder=0)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _saved(figure: "Figure", form: str, title: str, origin: Origin) -> bytes:
    about = f"{origin.permalink}; commit {origin.commit}"
    by_form: dict[str, dict[str, Any]] = {
        "pdf": {"Title": title, "Subject": about, "Creator": f"dosimeter {__version__}",
                "CreationDate": origin.at},
        "svg": {"Title": title, "Description": about, "Date": origin.at.isoformat()},
        "png": {"Title": title, "Description": about, "Software": f"dosimeter {__version__}"},
    }  # fmt: skip
    out = io.BytesIO()
    figure.savefig(out, format=form, dpi=DPI, metadata=by_form[form])
    return out.getvalue()
