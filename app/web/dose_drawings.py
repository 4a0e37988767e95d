"""Dose and response drawn by the server as SVG: points, curve, band, and ED50 on the axis.

Coordinates are those of a drawing's own box, in pixels; the dose axis is logarithmic. Every drawing
has a sentence that says the same in words.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from app.sweep_schemas import SweepDetail, SweepVictim
from app.web import words
from app.web.drawings import Box
from poisoning import catalog
from poisoning.dose import DoseField
from poisoning.dose import words as doses

BOX = Box(width=400, height=244, left=40, right=388, top=20, bottom=196)
MARGIN = 1.25  # the factor by which an axis goes beyond the doses measured
TICK_PX = 30  # the least between two labels of the dose axis
LETTER_PX = 6
# Okabe-Ito, for what is laid over a sweep of the same attack
OTHERS = ("#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#D55E00", "#0072B2", "#767676")
MARKERS = ("square", "triangle-up", "circle", "diamond", "triangle-down", "star", "cross")


@dataclass(frozen=True)
class Mark:
    """One measured rate: its place, and the ends of its interval from top to bottom."""

    x: float
    y: float
    top: float
    bottom: float


@dataclass(frozen=True)
class Half:
    """ED50: from where on the curve it falls to the axis, and its interval along the axis.

    ``x`` is None where it was not reached; an end that is not drawn lies beyond the axis.
    """

    x: float | None
    y: float
    start: float
    end: float
    is_start_drawn: bool
    is_end_drawn: bool


@dataclass(frozen=True)
class Series:
    """One sweep's points and curve for one victim."""

    title: str
    color: str
    marker: str
    marks: list[Mark]
    line: str
    band: str
    half: Half | None


@dataclass(frozen=True)
class Tick:
    x: float
    text: str


@dataclass(frozen=True)
class DoseChart:
    """``floor`` is where the first sweep's twins are."""

    key: str
    title: str
    axis: str
    series: list[Series]
    ticks: list[Tick]
    floor: float
    sentence: str
    box: Box = BOX


def charts(sweeps: Sequence[SweepDetail], victim: SweepVictim) -> list[DoseChart]:
    """One victim's curve; with others laid over it once by number and once by share."""
    drawn = [(sweep, same) for sweep in sweeps if (same := _same(sweep, victim)).points]
    if not drawn:
        return []
    if len(sweeps) == 1:
        return [_chart(drawn, victim, sweeps[0].field, is_share=False)]
    return [
        _chart(drawn, victim, "data.poisons", is_share=False),
        _chart(drawn, victim, "data.train_size", is_share=True),
    ]


def _same(sweep: SweepDetail, victim: SweepVictim) -> SweepVictim:
    return sweep.victims[victim.victim]


def _chart(
    drawn: Sequence[tuple[SweepDetail, SweepVictim]],
    victim: SweepVictim,
    field: DoseField,
    is_share: bool,
) -> DoseChart:
    def over(sweep: SweepDetail) -> float:
        return float(sweep.spec["data"]["train_size"]) if is_share else 1.0

    measured = [point.dose / over(sweep) for sweep, its in drawn for point in its.points]
    place = _scale(min(measured) / MARGIN, max(measured) * MARGIN)
    series = [
        _series(number, sweep, its, partial(_placed, place, over(sweep)))
        for number, (sweep, its) in enumerate(drawn)
    ]
    return DoseChart(
        key=f"{victim.victim}-{'share' if is_share else 'dose'}",
        title=victim_words(victim),
        axis=doses.AXES[field],
        series=series,
        ticks=_ticks(field, measured, place),
        floor=_y(drawn[0][1].floor),
        sentence=_sentence(field, drawn[0][1]),
    )


def victim_words(victim: SweepVictim) -> str:
    access = f"{words.access(victim.access)}: " if victim.access else ""
    label = f" ({victim.label})" if victim.label else ""
    return f"{access}{victim.title}{label}"


def _scale(low: float, high: float) -> Callable[[float], float]:
    bottom, span = math.log(low), math.log(high / low)

    def place(dose: float) -> float:
        share = (math.log(dose) - bottom) / span
        return round(BOX.left + share * (BOX.right - BOX.left), 1)

    return place


def _placed(place: Callable[[float], float], over: float, dose: float) -> float:
    return place(dose / over)


def _y(rate: float) -> float:
    return round(BOX.top + (1 - rate) * (BOX.bottom - BOX.top), 1)


def _series(
    number: int, sweep: SweepDetail, its: SweepVictim, place: Callable[[float], float]
) -> Series:
    attack = catalog.ATTACKS.get(sweep.attack)
    own = (attack.color, attack.marker) if attack else ("#767676", "circle")
    others = [color for color in OTHERS if color != own[0]]
    color, marker = own if number == 0 else (others[number - 1], MARKERS[number - 1])
    upper = [f"{place(at.dose)},{_y(at.high)}" for at in its.curve]
    lower = [f"{place(at.dose)},{_y(at.low)}" for at in its.curve]
    return Series(
        title=f"{sweep.spec['data']['train_size']:,} training images",
        color=color,
        marker=marker,
        marks=[
            Mark(place(p.dose), _y(p.success.rate), _y(p.success.high), _y(p.success.low))
            for p in its.points
        ],
        line=" ".join(f"{place(at.dose)},{_y(at.rate)}" for at in its.curve),
        band=" ".join([*upper, *reversed(lower)]),
        half=_half(its, place),
    )


def _half(its: SweepVictim, place: Callable[[float], float]) -> Half | None:
    """None without a curve, or where nothing of ED50 and its interval is on the axis."""
    if its.ed50 is None:
        return None
    low = place(its.ed50.low) if its.ed50.low else -math.inf
    high = place(its.ed50.high) if its.ed50.high else math.inf
    if low >= BOX.right or high <= BOX.left:
        return None
    return Half(
        x=place(its.ed50.dose) if its.ed50.dose is not None else None,
        y=_y((1 + its.floor) / 2),
        start=max(low, BOX.left),
        end=min(high, BOX.right),
        is_start_drawn=low >= BOX.left,
        is_end_drawn=high <= BOX.right,
    )


def _ticks(
    field: DoseField, measured: Sequence[float], place: Callable[[float], float]
) -> list[Tick]:
    """The doses measured, as far as their labels do not touch; the outermost ones always."""
    wanted = [Tick(place(dose), doses.short(field, dose)) for dose in sorted(set(measured))]
    kept = wanted[:1]
    for tick in wanted[1:]:
        if tick.x - kept[-1].x >= max(TICK_PX, LETTER_PX * len(tick.text)):
            kept.append(tick)
    if kept[-1] is not wanted[-1]:
        kept[-1:] = [wanted[-1]] if len(kept) > 1 else [kept[0]]
    return kept


def _sentence(field: DoseField, victim: SweepVictim) -> str:
    trials = sum(point.success.n for point in victim.points)
    shown = [
        f"{doses.short(field, point.dose)}: {words.percent(point.success.rate, 0)} %"
        for point in victim.points
    ]
    return (
        f"{victim.answer} Success at {words.plural(len(shown), 'dose')}, "
        f"{words.plural(trials, 'trial')}: {', '.join(shown)}."
    )
