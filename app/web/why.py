"""Why a victim was fooled, or was not: an explanation as words and as small drawings.

The server draws; a page needs no script to show it. Coordinates are those of the drawings' own
boxes, in pixels.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.schemas import OutcomeView, TrialView
from poisoning.events import Curve, Explanation, Point

WIDTH, HEIGHT, EDGE = 360, 270, 18
MARGIN_HEIGHT = 180
CLOSER = 0.8  # of the distance before: less than this, and the poisons have moved
SAME = 0.1  # of the distance before: less than this, and training has not moved them
RULERS = (5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)  # target lengths
Place = tuple[float, float]


@dataclass(frozen=True)
class Plane:
    """The victim's features, projected; ``moves`` join every base with its poison."""

    base_class: list[Place]
    target_class: list[Place]
    moves: list[tuple[Place, Place]]
    target: Place
    ruler: tuple[float, float]  # so many target lengths, and how long that is drawn
    width: int = WIDTH
    height: int = HEIGHT
    edge: int = EDGE


@dataclass(frozen=True)
class Curves:
    """Values over the epochs as polylines, and where zero is; ``second`` only of distances."""

    poisoned: str
    second: str
    twin: str
    zero: float
    low: float
    high: float
    first: int
    epochs: int
    width: int = WIDTH
    height: int = MARGIN_HEIGHT
    edge: int = EDGE


@dataclass(frozen=True)
class Why:
    """What the page shows of one victim."""

    outcome: OutcomeView
    sentence: str
    facts: Explanation
    plane: Plane
    before: Plane | None  # the same before training, where features move
    margins: Curves | None
    distances: Curves | None


def of(trial: TrialView, outcome: OutcomeView, facts: Explanation) -> Why:
    """The explanation of one outcome, drawn and in words."""
    return Why(
        outcome,
        in_words(trial, outcome, facts),
        facts,
        _plane(facts),
        _plane(facts.before) if facts.before else None,
        _curves(facts.margins, (), facts.twin_margins),
        _curves(facts.distances, facts.nearest, facts.twin_distances),
    )


def in_words(trial: TrialView, outcome: OutcomeView, facts: Explanation) -> str:
    """One or two sentences: where the poisons went, and what that did."""
    own = facts.class_distance
    where = (
        f"Seen by this victim, the poisons' mean lies {facts.distance_after:.2f} target lengths "
        f"from the target; their bases' lay {facts.distance_before:.2f} away"
    )
    if own is not None:
        where += f", the {trial.target_name} images it trains on, in the median, {own:.2f}"
    since = crossing(facts.margins) if outcome.success else None
    when = f" It gave way for good in epoch {since}." if since is not None else ""
    return f"{where}.{_moved(facts)} {_because(trial, outcome, facts)}{when}"


def _moved(facts: Explanation) -> str:
    """What training did to the distances; empty where features stay as they are."""
    if len(facts.distances) < 2:
        return ""
    (first, was), (_, now) = facts.distances[0], facts.distances[-1]
    since = "before training" if first == 0 else f"after epoch {first}"
    if abs(now - was) < SAME * was:
        said = f" Training left the poisons where they were ({was:.2f} {since})"
    else:
        verb = "brought" if now < was else "took"
        said = f" Training {verb} the poisons there from {was:.2f} {since}"
    if facts.nearest:
        said += (
            f"; the nearest one went from {facts.nearest[0][1]:.2f} to {facts.nearest[-1][1]:.2f}"
        )
    if facts.twin_distances:
        twin_was, twin_now = facts.twin_distances[0][1], facts.twin_distances[-1][1]
        said += f", the bases in its clean twin from {twin_was:.2f} to {twin_now:.2f}"
    return f"{said}."


def _because(trial: TrialView, outcome: OutcomeView, facts: Explanation) -> str:
    own, base, target = facts.class_distance, trial.base_name, trial.target_name
    has_moved = facts.distance_after < CLOSER * facts.distance_before
    is_inside = own is not None and facts.distance_after < own
    if outcome.success and outcome.twin_success:
        return "Its clean twin is fooled as well: this need not be the attack's doing."
    if outcome.success and has_moved and is_inside:
        return (
            f"They are nearer to it than its own class is, so a layer that calls them {base} calls "
            f"the target {base} too."
        )
    if outcome.success and has_moved:
        return f"They came near enough to pull the boundary of {base} over the target."
    if outcome.success:
        return (
            "Their features hardly came closer: it is not their place that fooled it, but what "
            "training made of them."
        )
    before = facts.before
    if not has_moved and before and before.distance_after < CLOSER * before.distance_before:
        return "They had come closer in the network that it began with, and training undid that."
    if not has_moved:
        return (
            "They stay about where their bases are: what moved them on the attacker's surrogate "
            "does not carry over to this network."
        )
    if is_inside:
        return (
            f"They came nearer than its own class is, but too few of them, or too weakly held: the "
            f"clean {target} images keep the target."
        )
    return f"They came closer, but the clean {target} images are closer still and keep the target."


def crossing(curve: Curve) -> int | None:
    """The epoch from which on the margin stays above zero; None where it ends below."""
    epoch = None
    for at, value in curve:
        if value <= 0:
            epoch = None
        elif epoch is None:
            epoch = at
    return epoch


# --- drawings -----------------------------------------------------------------------------------


def _plane(facts: Explanation) -> Plane:
    everything = [
        facts.target, *facts.bases, *facts.poisons, *facts.base_class, *facts.target_class,
    ]  # fmt: skip
    place, scale = _fitted(everything, WIDTH, HEIGHT)
    moves = zip(facts.bases, facts.poisons, strict=True)
    return Plane(
        base_class=[place(point) for point in facts.base_class],
        target_class=[place(point) for point in facts.target_class],
        moves=[(place(base), place(poison)) for base, poison in moves],
        target=place(facts.target),
        ruler=_ruler(scale),
    )


def _ruler(scale: float) -> tuple[float, float]:
    """The longest round length that takes less than a third of the width, and its pixels."""
    fitting = (length for length in RULERS if length * scale < WIDTH / 3)
    length = next(fitting, RULERS[-1])
    return length, round(length * scale, 1)


def _fitted(
    points: Iterable[Point], width: int, height: int
) -> tuple[Callable[[Point], Place], float]:
    """A map of the plane into a box that keeps its proportions, y upwards; pixels per unit."""
    xs, ys = zip(*points, strict=True)
    span = max((max(xs) - min(xs)) / (width - 2 * EDGE), (max(ys) - min(ys)) / (height - 2 * EDGE))
    scale = 1 / span if span > 0 else 1.0
    middle = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2

    def place(point: Point) -> Place:
        x = width / 2 + (point[0] - middle[0]) * scale
        y = height / 2 - (point[1] - middle[1]) * scale
        return round(x, 1), round(y, 1)

    return place, scale


def _curves(main: Curve, second: Curve, twin: Curve) -> Curves | None:
    """Drawn together from zero on; None where there is nothing to join by a line."""
    if len(main) < 2:
        return None
    values = [value for _, value in (*main, *second, *twin)]
    low, high = min(0.0, *values), max(0.0, *values)
    span, first, last = (high - low) or 1.0, main[0][0], main[-1][0]

    def y(value: float) -> float:
        return round(EDGE + (high - value) / span * (MARGIN_HEIGHT - 2 * EDGE), 1)

    def line(curve: Curve) -> str:
        reach = max(last - first, 1)
        return " ".join(
            f"{round(EDGE + (epoch - first) / reach * (WIDTH - 2 * EDGE), 1)},{y(value)}"
            for epoch, value in curve
        )

    return Curves(line(main), line(second), line(twin), y(0.0), low, high, first, last)
