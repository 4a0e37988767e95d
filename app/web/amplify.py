"""By how much differences of poison and base are multiplied before they are drawn around grey."""

from collections.abc import Iterable

from poisoning import catalog

GREY = 128
MOST = GREY - 1  # then a change of 1/255 fills the range
BOUNDED = ("linf", "linf_outside_trigger")


def factor(largest_255: int | None) -> int:
    """With it the largest change, in steps of 1/255, just fills the range around grey."""
    return max(1, MOST // largest_255) if largest_255 else 1


def common(changes: Iterable[tuple[str, int | None]]) -> int:
    """One factor for all that are shown together: of (attack, largest change in 1/255).

    The largest change of a bounded attack decides; one without a bound would leave the others
    grey, so that it is cut off where it goes further. It decides where all are so.
    """
    found = [(attack, linf) for attack, linf in changes if linf]
    bounded = [linf for attack, linf in found if _is_bounded(attack)]
    return factor(max(bounded or [linf for _, linf in found], default=None))


def is_cut_off(largest_255: int | None, amplified: int) -> bool:
    return (largest_255 or 0) * amplified > MOST


def _is_bounded(attack: str) -> bool:
    known = catalog.ATTACKS.get(attack)
    return known is not None and known.budget in BOUNDED
