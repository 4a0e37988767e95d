"""How numbers and moments are written on pages. Pure functions; templates use them as filters."""

import re
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

from poisoning.spec import BENCHMARK_SETUPS
from poisoning.stats import MARK

DASH = "–"
MINUS = "−"
HYPHEN_MINUS = re.compile(r"(?<![\w.)\]-])-(?=\d)")  # that of a number, not of a word or a range
BOXES = re.compile(r"\b(?:white|grey|black)-box\b", re.IGNORECASE)

ACCESS = {"white_box": "White box", "grey_box": "Grey box", "black_box": "Black box"}
REGIME = {"frozen": "frozen", "end_to_end": "end to end", "from_scratch": "from scratch"}
STAGE = {
    "pretrain": "Pretraining",
    "load": "Loading",
    "craft": "Crafting poisons",
    "victims": "Training victims",
}
PROFILES = ("smoke", "quick", "paper")
SETUPS = {"drawn": "drawn from the seed"} | {
    name: f"the benchmark's {name.replace('_', ' ')}" for name in BENCHMARK_SETUPS
}


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as per cent, without the sign: 0.854 -> 85.4."""
    return DASH if value is None else f"{100 * value:.{digits}f}"


def points(value: float | None, digits: int = 1) -> str:
    """A difference of fractions in percentage points, always with its sign."""
    if value is None:
        return DASH
    text = f"{abs(100 * value):.{digits}f}"
    if float(text) == 0:
        return text
    return (MINUS if value < 0 else "+") + text


def number(value: float | None, digits: int = 2) -> str:
    """A plain number with a true minus and, from 1,000 on, separators."""
    if value is None:
        return DASH
    if isinstance(value, int):
        return f"{value:,}".replace("-", MINUS)
    return f"{value:,.{digits}f}".replace("-", MINUS)


def compact(value: float | None) -> str:
    """A quantity of unknown size, four significant digits."""
    return DASH if value is None else f"{value:.4g}".replace("-", MINUS)


def brief(value: float) -> str:
    """As ``compact``, two digits: 0.00012, 4.1e+02 as 410."""
    return (f"{value:.0f}" if 100 <= abs(value) < 1e5 else f"{value:.2g}").replace("-", MINUS)


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: 0.8 s, 42 s, 3 min 20 s, 2 h 05 min, 3 d 4 h."""
    if seconds is None:
        return DASH
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def moment(value: datetime | None) -> str:
    """A moment in UTC to the minute; the page's script shows it in local time."""
    return DASH if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def clock(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%H:%M:%S")


def mebibytes(value: float | None) -> str:
    if value is None:
        return DASH
    return f"{value / 1024:.1f} GiB" if value >= 1024 else f"{value:.0f} MiB"


def access(value: str | None) -> str:
    return ACCESS.get(value or "", DASH)


def regime(value: str) -> str:
    return REGIME.get(value, value.replace("_", " "))


def stage(value: str) -> str:
    return STAGE.get(value, value.replace("_", " ").capitalize())


def variant(value: str) -> str:
    """A transformation of the target as one says it: "flipped", "2 px left"."""
    name, _, pixels = value.partition("_")
    return f"{pixels} px {name}" if pixels else name.replace("flip", "flipped")


def unbroken(text: str) -> Markup:
    """A sentence whose numbers keep their units and errors, and a white-box its box, on one line;
    with true minuses.
    """
    kept = true_minus(text).replace(" %", "\u00a0%").replace(" ± ", "\u00a0±\u00a0")
    return Markup(BOXES.sub(r'<span class="text-nowrap">\g<0></span>', str(escape(kept))))


def true_minus(text: str) -> str:
    """Words that were made for a terminal, with the minus that pages have."""
    return HYPHEN_MINUS.sub(MINUS, text)


def plural(n: int, one: str, many: str | None = None) -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def knob(value: Any) -> str:
    """One knob's value as a table shows it."""
    if value is None or value == "" or value == [] or value == ():
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(knob(item) for item in value)
    return str(value)


def unmarked(text: str) -> str:
    """A rate or an interval as text, without the mark of a confidence sequence."""
    is_marked = text.endswith(MARK) and text[-2:-1] in tuple("0123456789]")
    return text.removesuffix(MARK) if is_marked else text


def short_hash(value: str | None, length: int = 10) -> str:
    return DASH if not value else value[:length]


FILTERS = {
    function.__name__: function
    for function in (
        percent, points, number, compact, brief, duration, moment, clock, mebibytes, access, regime,
        stage, variant, plural, knob, short_hash, true_minus, unbroken, unmarked,
    )
}  # fmt: skip
