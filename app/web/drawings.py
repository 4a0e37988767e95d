"""Curves and rates drawn by the server as SVG: a page needs no script to show them.

Coordinates are those of a drawing's own box, in pixels. Every drawing has a sentence that says
the same in words.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from app.queries import titles
from app.schemas import CurveView, ExperimentDetail, Rate, RateSoFar, VictimSummary
from app.web import words

WIDTH, HEIGHT = 360, 150
LEFT, EDGE, TOP = 46, 8, 16  # room for the scale, right and below, above
LOG_FROM = 30.0  # largest over smallest: from here on a linear scale would show one corner
MAIN, TWIN = "loss", "twin_loss"


@dataclass(frozen=True)
class Box:
    """Where a drawing's axes are."""

    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - EDGE
    top: int = TOP
    bottom: int = HEIGHT - EDGE


BOX = Box()


@dataclass(frozen=True)
class Line:
    """One run of one value; ``is_past``: of a batch before the newest."""

    points: str
    is_twin: bool
    is_past: bool


@dataclass(frozen=True)
class Chart:
    """Values over the share of a stage that is done."""

    key: str
    title: str
    lines: list[Line]
    high: float
    low: float
    is_log: bool
    sentence: str
    box: Box = BOX


@dataclass(frozen=True)
class Band:
    """A rate over the number of trials, with its interval; rates are drawn from 0 to 100 %."""

    victim: VictimSummary
    band: str
    line: str
    twin: str
    last: Rate
    sentence: str
    box: Box = BOX


def charts(item: ExperimentDetail, found: Sequence[CurveView]) -> list[Chart]:
    """One drawing for each stage, and for each victim of the last one; pretraining only until
    there is something else.
    """
    named = {victim.victim: victim.title for victim in item.victims}
    made = []
    for stage in ("craft", "victims", "pretrain"):
        its = sorted((c for c in found if c.stage == stage), key=lambda c: c.victim or 0)
        for victim, curves in groupby(its, key=lambda c: c.victim):
            if chart := _chart(stage, victim, list(curves), named):
                made.append(chart)
    return [chart for chart in made if not chart.key.startswith("pretrain")] or made


def _chart(
    stage: str, victim: int | None, curves: Sequence[CurveView], named: dict[int, str]
) -> Chart | None:
    shown = [c for c in curves if c.name in (MAIN, TWIN) and c.points]
    values = [value for curve in shown for _, value, _ in curve.points]
    if not values:
        return None
    low, high = min(values), max(values)
    is_log = low > 0 and high / low >= LOG_FROM
    place = _scale(low, high, is_log)
    newest = max(curve.job_id for curve in shown)
    lines = [
        Line(" ".join(map(place, run)), curve.name == TWIN, curve.job_id != newest)
        for curve in sorted(shown, key=lambda c: (c.job_id, c.name == MAIN))
        for run in _runs(curve)
    ]
    what = {"pretrain": "Loss in pretraining", "craft": "Objective of crafting"}.get(
        stage, f"Training loss, {named.get(victim or 0, 'victim')}"
    )
    last = [curve for curve in shown if curve.job_id == newest]
    return Chart(
        key=f"{stage}-{victim or 0}",
        title=what,
        lines=lines,
        high=high,
        low=low,
        is_log=is_log,
        sentence=_in_words(last),
    )


def _runs(curve: CurveView) -> list[list[tuple[float, float, int]]]:
    return [list(run) for _, run in groupby(curve.points, key=lambda point: point[2])]


def _scale(low: float, high: float, is_log: bool) -> Callable[[tuple[float, float, int]], str]:
    bottom, top = (math.log(low), math.log(high)) if is_log else (low, high)
    span, reach = (top - bottom) or 1.0, HEIGHT - TOP - EDGE

    def place(point: tuple[float, float, int]) -> str:
        share, value, _ = point
        value = math.log(value) if is_log else value
        return f"{_x(share)},{TOP + (top - value) / span * reach:.1f}"

    return place


def _x(share: float) -> str:
    return f"{LEFT + share * (WIDTH - LEFT - EDGE):.1f}"


def _in_words(curves: Sequence[CurveView]) -> str:
    """From where to where the values of one batch went in their last run, its twins' last."""
    main, *others = sorted(curves, key=lambda curve: curve.name != MAIN)
    runs = len(_runs(main))
    which = f"In the last of {runs} runs it" if runs > 1 else "It"
    share = max(curve.points[-1][0] for curve in curves)
    where = "" if share >= 1 else f", at {words.percent(share, 0)} % of the stage"
    twins = "".join(f", the twins' {_course(curve)}" for curve in others)
    return f"{which} went {_course(main)}{twins}{where}."


def _course(curve: CurveView) -> str:
    last = _runs(curve)[-1]
    return f"from {words.compact(last[0][1])} to {words.compact(last[-1][1])}"


# --- rates so far -------------------------------------------------------------------------------


def bands(item: ExperimentDetail, found: Sequence[RateSoFar]) -> list[Band]:
    """Where at least two trials were judged: one is no curve."""
    by_number = {victim.victim: victim for victim in item.victims}
    return [_band(by_number[its.victim], its) for its in found if its.success[-1].n > 1]


def _band(victim: VictimSummary, found: RateSoFar) -> Band:
    n = found.success[-1].n

    def places(rates: Sequence[Rate], value: str) -> list[str]:
        reach = max(n - 1, 1)
        return [f"{_x((r.n - 1) / reach)},{_y(getattr(r, value))}" for r in rates]

    upper = places(found.success, "high")
    last = found.success[-1]
    return Band(
        victim=victim,
        band=" ".join([*upper, *reversed(places(found.success, "low"))]),
        line=" ".join(places(found.success, "rate")),
        twin=" ".join(places(found.twin, "rate")),
        last=last,
        sentence=(
            f"{titles.ACCESS.get(victim.access or '', '').capitalize()} {victim.title}: after "
            f"{words.plural(n, 'trial')} {words.percent(last.rate)} %, "
            f"{'95 % interval' if last.interval == 'wilson' else 'confidence sequence'} "
            f"{words.percent(last.low, 0)} to {words.percent(last.high, 0)}; its twins "
            f"{words.percent(found.twin[-1].rate)} %."
        ),
    )


def _y(rate: float) -> str:
    return f"{TOP + (1 - rate) * (HEIGHT - TOP - EDGE):.1f}"
