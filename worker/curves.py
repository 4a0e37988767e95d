"""What a job says of its stages, thinned out: how far, how fast, and what each stage optimises.

A stage may say thousands of numbers; of each value at most MOST are kept, whatever its length.
"""

import math
from dataclasses import dataclass, field

from app.services.curves import Course, Point
from poisoning.events import Progress

MOST = 200
Key = tuple[str, int]  # stage, victim


@dataclass
class Curve:
    """One value over a stage's share that is done.

    Where there are MOST points, every second is dropped, and from then on half as many are taken.
    The last point said is always among ``points``. A share that was passed before is passed
    anew: what was said beyond it is dropped, so shares never fall.
    """

    kept: list[Point] = field(default_factory=list)
    last: Point | None = None
    stride: int = 1
    said: int = 0
    run: int = 0

    def add(self, share: float, value: float, is_new_run: bool) -> None:
        self.run += is_new_run
        self.last = (round(share, 5), float(f"{value:.5g}"), self.run)
        self.kept = [point for point in self.kept if point[0] < self.last[0]]
        if self.said % self.stride == 0:
            self.kept.append(self.last)
        self.said += 1
        if len(self.kept) >= MOST:
            self.kept, self.stride = self.kept[::2], 2 * self.stride

    @property
    def points(self) -> list[Point]:
        """By rising share."""
        if self.last is None or self.kept[-1:] == [self.last]:
            return self.kept
        return [*self.kept, self.last]


@dataclass
class _Stage:
    """One stage of the job, or one victim of it, so far."""

    done: int = 0
    total: int = 1
    unit: str = ""
    at: float = 0.0  # when it was last heard of
    seconds: float = 0.0
    measured: float = 0.0  # the share that was done in those seconds
    curves: dict[str, Curve] = field(default_factory=dict)
    names: frozenset[str] = frozenset()  # of the values in its last report

    def add(self, event: Progress, at: float, is_next: bool) -> None:
        """``is_next``: nothing else was reported since, so the time since was this stage's."""
        share, before = _share(event.done, event.total), _share(self.done, self.total)
        if is_next and share > before:
            self.seconds += at - self.at
            self.measured += share - before
        self.done, self.total, self.unit, self.at = event.done, event.total, event.unit, at
        values = {name: value for name, value in event.values.items() if math.isfinite(value)}
        for name, value in values.items():
            is_new_run = not (is_next and name in self.names)
            self.curves.setdefault(name, Curve()).add(share, value, is_new_run)
        self.names = frozenset(values)


def _share(done: int, total: int) -> float:
    return min(1.0, done / total) if total > 0 else 0.0


class Courses:
    """All stages of one job. A curve is broken where something else was reported in between."""

    def __init__(self) -> None:
        self._stages: dict[Key, _Stage] = {}
        self._current: Key | None = None
        self._changed: set[Key] = set()

    def add(self, event: Progress, at: float) -> None:
        """``at``: seconds of a clock that never goes back."""
        if event.stage == "load":
            self._current = None
            return
        key = (event.stage, event.victim or 0)
        self._stages.setdefault(key, _Stage()).add(event, at, key == self._current)
        self._current = key
        self._changed.add(key)

    def take(self) -> list[Course]:
        """Those that changed since they were last taken, to be written down."""
        changed, self._changed = sorted(self._changed), set()
        return [_course(key, self._stages[key]) for key in changed]


def _course(key: Key, stage: _Stage) -> Course:
    return Course(
        stage=key[0],
        victim=key[1],
        done=stage.done,
        total=stage.total,
        unit=stage.unit,
        seconds=stage.seconds,
        measured=stage.measured,
        curves={name: list(curve.points) for name, curve in stage.curves.items()},
    )
