"""What a sweep says, in sentences: for pages, the REST API and the command line. No torch."""

import math
from collections.abc import Callable, Mapping, Sequence

from poisoning.dose.curve import Curve, NotReached
from poisoning.dose.design import Unit
from poisoning.dose.measured import Measured, curve_through
from poisoning.dose.sweep import DoseField
from poisoning.stats import Interval

# what the dose of a swept field is called
AXES: Mapping[DoseField, str] = {
    "data.poisons": "Number of poisons",
    "data.train_size": "Poisoned share of the training set, %",
    "attack.eps_255": "Budget eps, in 1/255",
    "attack.patch_size": "Side of the patch, px",
}
FIELDS: Mapping[DoseField, str] = {
    "data.poisons": "number of poisons",
    "data.train_size": "number of training images",
    "attack.eps_255": "budget eps",
    "attack.patch_size": "side of the patch",
}
_WITH_UNIT: Mapping[DoseField, Callable[[str], str]] = {
    "data.poisons": lambda text: "1 poison" if text == "1" else f"{text} poisons",
    "data.train_size": lambda text: f"a poisoned share of {text} %",
    "attack.eps_255": lambda text: f"eps {text}/255",
    "attack.patch_size": lambda text: f"a patch of {text} px",
}


def short(field: DoseField, dose: float) -> str:
    """A dose as it stands on an axis, three significant digits: shares in per cent."""
    shown = 100 * dose if field == "data.train_size" else dose
    return f"{shown:,.0f}" if 1000 <= shown < 1e7 else f"{shown:.3g}"


def with_unit(field: DoseField, dose: float) -> str:
    """ "11.3 poisons", "eps 8/255", "a patch of 5 px", "a poisoned share of 0.5 %" """
    return _WITH_UNIT[field](short(field, dose))


def at_value(field: DoseField, value: float) -> str:
    """A value of the swept field itself: "500 training images"; else as ``with_unit``."""
    if field == "data.train_size":
        return f"{value:,.0f} training images"
    return with_unit(field, value)


def summary(field: DoseField, measured: Sequence[Measured]) -> str:
    """What the points say in one sentence, however few they are."""
    judged = [at for at in measured if at.trials]
    if not judged:
        return "Nothing is judged yet."
    curve = curve_through(tuple(judged))
    if curve is not None:
        return answer(field, curve)
    if len({at.dose for at in judged}) > 1:
        return "Every clean twin falls too: there is nothing left for a dose to add."
    trials, fallen = (sum(getattr(at, what) for at in judged) for what in ("trials", "successes"))
    return (
        f"{fallen} of {trials} targets fall to {with_unit(field, judged[0].dose)}; a curve needs "
        "a second dose."
    )


def answer(field: DoseField, curve: Curve) -> str:
    """Which dose half of the targets fall to, or that it was not reached, in one sentence."""
    others = ", not counting those that fall anyway" if curve.floor else ""
    found = curve.ed50
    if not isinstance(found, NotReached):
        at, interval = with_unit(field, found.dose), _interval(field, found.interval)
        return f"Half of the targets fall to {at} ({interval}){others}."
    level, edge = _percent(found.interval.level), with_unit(field, found.edge)
    if found.direction == "above the highest dose":
        limit = short(field, found.interval.low) if found.interval.low > 0 else ""
        sure = f"; its {level} interval begins at {limit}" if limit else ""
        start = f"Fewer than half of the targets fall even to {edge}, the highest dose measured"
    else:
        limit = short(field, found.interval.high) if found.interval.high < math.inf else ""
        sure = f"; its {level} interval ends at {limit}" if limit else ""
        start = f"More than half of the targets fall to {edge} already, the lowest dose measured"
    return f"{start}{others}: ED50 is not reached in this range{sure}."


def _interval(field: DoseField, interval: Interval) -> str:
    level = _percent(interval.level)
    low, high = short(field, interval.low), short(field, interval.high)
    if interval.low <= 0 and interval.high == math.inf:
        return f"no {level} limit on either side"
    if interval.low <= 0:
        return f"{level} interval up to {high}"
    if interval.high == math.inf:
        return f"{level} interval {low} and above"
    return f"{level} interval {low} to {high}"


def _percent(level: float) -> str:
    return f"{100 * level:.0f} %"


def unit_in_words(unit: Unit) -> str:
    """Whether poisons are better counted, or taken as a share of the training set."""
    apart = abs(unit.by_count - unit.by_fraction)
    times = f"{math.exp(apart):,.0f}" if apart < math.log(1e6) else "over a million"
    if unit.name == "count":
        return (
            "The number of poisons says more than their share of the training set: one curve over "
            f"numbers is {times} times as likely as one over shares."
        )
    if unit.name == "fraction":
        return (
            "The poisoned share of the training set says more than the number of poisons: one "
            f"curve over shares is {times} times as likely as one over numbers."
        )
    return (
        "It cannot be told yet whether the number of poisons or their share of the training set "
        f"says more: one is only {math.exp(apart):.1f} times as likely as the other."
    )
