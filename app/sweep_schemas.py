"""What the server says of sweeps."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel

from app.schemas import ExperimentSummary, Rate
from poisoning.dose import DoseField


class SweepPoint(BaseModel):
    """What was measured at one dose."""

    dose: float
    value: float  # of the swept field; the dose itself but for training set sizes
    success: Rate
    twin: Rate
    experiment_ids: list[int]


class CurvePoint(BaseModel):
    """The fitted rate at one dose, with its 95 % interval (fractions)."""

    dose: float
    rate: float
    low: float
    high: float


class Ed50(BaseModel):
    """The dose half of those targets fall to that do not fall anyway.

    ``dose`` is None where the curve crosses its half outside the doses measured. A limit that the
    data do not set is None.
    """

    dose: float | None
    low: float | None  # profile likelihood, 95 %
    high: float | None
    direction: Literal["within", "below the lowest dose", "above the highest dose"]


class SweepVictim(BaseModel):
    """Points, curve and ED50 of one victim."""

    victim: int
    title: str
    label: str | None
    access: str | None
    answer: str  # in words
    points: list[SweepPoint]  # by rising dose
    floor: float  # the twins' rate over all doses, from which the curve rises
    slope: float | None  # None, as ed50, where there is no curve
    ed50: Ed50 | None
    curve: list[CurvePoint]


class SweepSummary(BaseModel):
    """A row of the list of sweeps."""

    id: int
    title: str
    state: str  # queued | waiting | running | done | failed | cancelled
    field: DoseField
    design: str  # grid | adaptive
    values: list[float]
    budget: int | None
    attack: str
    attack_title: str
    dataset_title: str
    profile: str
    tags: list[str]
    answer: str  # of the first victim, in words
    trials_total: int  # planned: the budget of an adaptive sweep
    trials_done: int
    experiments: int
    created_at: datetime


class SweepUnit(BaseModel):
    """Whether poisons are better counted or taken as a share of the training set."""

    name: Literal["count", "fraction", "cannot tell"]
    by_count: float  # log likelihoods of one curve for all
    by_fraction: float
    sentence: str


class SweepBeside(BaseModel):
    """A sweep of poisons that differs in its training set size alone."""

    id: int
    title: str
    train_size: int


class SweepDetail(SweepSummary):
    spec: dict[str, Any]
    notes: str
    is_cancelled: bool  # asked for; what still runs ends within seconds
    error: str | None  # why its next experiment could not be launched
    victims: list[SweepVictim]
    rungs: list[ExperimentSummary]
    beside: list[SweepBeside]  # that could be laid over it
    unit: SweepUnit | None = None  # where others are laid over it: counts or shares
