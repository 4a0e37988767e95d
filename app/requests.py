"""What the server is told: the bodies of requests."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from poisoning.dose import DoseField
from poisoning.spec import ExperimentSpec, PretrainSpec, Profile
from poisoning.victim_params import CheckpointName

SweepDesign = Literal["grid", "adaptive"]
MAX_VALUES = 40  # of a sweep
NARROWEST, WIDEST = 0.02, 0.9  # interval that an experiment may stop at


class Body(BaseModel):
    """A request's body: an unknown field is an error that names it."""

    model_config = ConfigDict(extra="forbid")


Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^[^,\s][^,]{0,39}$"),
    Field(description="A word or two, without commas, to find experiments by."),
]


class LaunchRequest(Body):
    """An experiment to run; without a title it gets one from its attack and data."""

    spec: ExperimentSpec
    stop_width: float | None = Field(
        None,
        ge=NARROWEST,
        le=WIDEST,
        description="Stop as soon as the interval of every victim's rate is at most this wide, as "
        "a fraction; spec.trials is then the most that are run. Empty: run all of them.",
    )
    title: str = Field("", max_length=200)
    notes: str = Field("", max_length=20_000)
    tags: list[Tag] = Field([], max_length=20)


class ExtendRequest(Body):
    """How many trials an experiment shall have in all."""

    trials: int = Field(ge=1, le=10_000, description="In all, those it has included.")


class SweepRequest(Body):
    """One field of an experiment at several values.

    A grid runs ``spec.trials`` at every value. An adaptive sweep runs them at one value after
    another, each where it tells most about the dose that half of the targets fall to, until
    ``budget`` trials are done.
    """

    spec: ExperimentSpec
    field: DoseField
    values: list[float] = Field(min_length=1, max_length=MAX_VALUES)
    design: SweepDesign = "grid"
    budget: int | None = Field(
        None, ge=1, le=100_000, description="Trials in all, of an adaptive sweep; empty: a grid."
    )
    title: str = Field("", max_length=160)
    notes: str = Field("", max_length=20_000)
    tags: list[Tag] = Field([], max_length=20)


class StudyRequest(Body):
    """A study to run by name."""

    name: str = Field(max_length=80)
    profile: Profile = "quick"


class PretrainRequest(Body):
    """A checkpoint to train: a recipe known by this name, or a spec of one's own."""

    name: CheckpointName
    spec: PretrainSpec | None = None
