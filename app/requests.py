"""What the server is told: the bodies of requests."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from poisoning.params import CheckpointName
from poisoning.spec import ExperimentSpec, PretrainSpec, Profile


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
    title: str = Field("", max_length=200)
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
