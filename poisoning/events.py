"""What a batch process is told, and what it says: one JSON object a line. No torch in here.

``python -m poisoning work JOB.json`` reads one job and prints events to stdout until the job is
done; the worker relays them to the database, the command line draws progress bars of them. The
process has no credentials: all it knows stands in the job, all it found stands in its events.
It ends itself when its stdin closes, so it never outlives the parent that started it.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from poisoning.card import Card
from poisoning.spec import Access, AdoptSpec, ExperimentSpec, PretrainSpec


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# --- jobs -------------------------------------------------------------------------------------


class Machine(Message):
    """Where files are and what to compute on."""

    data_dir: str
    work_dir: str  # results of this job and its saved state; kept between attempts
    device: str = "auto"  # auto | cpu | cuda | cuda:0 | mps
    threads: int | None = None
    cache_dir: str | None = None  # shared by all jobs of this machine; may be emptied at any time


class TrialsJob(Message):
    """Carry these trials of one experiment through."""

    kind: Literal["trials"] = "trials"
    spec: ExperimentSpec
    indices: tuple[int, ...]
    checkpoints: dict[str, str]  # name -> path of a safetensors file with its card beside it
    machine: Machine


class PretrainJob(Message):
    """Train one extractor; an interrupted one goes on from its last saved epoch."""

    kind: Literal["pretrain"] = "pretrain"
    name: str
    spec: PretrainSpec
    machine: Machine


class AdoptJob(Message):
    """Read weights that were trained elsewhere, judge them, and store them as ours."""

    kind: Literal["adopt"] = "adopt"
    name: str
    spec: AdoptSpec
    source: str  # path of the file
    there: dict[str, str] = {}  # sha256 -> name of checkpoints that are there already
    machine: Machine


AnyJob = TrialsJob | PretrainJob | AdoptJob
Job = Annotated[AnyJob, Field(discriminator="kind")]
JOB: TypeAdapter[AnyJob] = TypeAdapter(Job)


# --- events -----------------------------------------------------------------------------------


class Started(Message):
    event: Literal["started"] = "started"
    provenance: dict[str, Any]  # devices.provenance's


class Progress(Message):
    """``done`` of ``total`` units of one stage; ``values`` are what the stage optimises. Training
    victims, ``loss`` is that of the poisoned ones, ``twin_loss`` their twins'.
    """

    event: Literal["progress"] = "progress"
    stage: Literal["load", "pretrain", "craft", "victims"]
    done: int
    total: int
    unit: str  # "steps", "epochs", ...
    victim: int | None = None  # position in spec.victims of the one that is trained
    detail: str = ""
    values: dict[str, float] = {}


class Log(Message):
    event: Literal["log"] = "log"
    level: Literal["info", "warning", "error"] = "info"
    message: str


class Setup(Message):
    """Who is attacked with what: target (test split), base class, base images (train split)."""

    target_class: int
    target_index: int
    base_class: int
    base_indices: tuple[int, ...]


class Judged(Message):
    """One victim's verdict on one target. Margins are logits: base class minus best other."""

    prediction: int
    confidence: float  # softmax probability of the base class
    margin: float
    clean_accuracy: float  # over the whole test split


class Extras(Message):
    """What else was asked of a victim and its twin. ``variants`` are predictions on transformed
    targets, by the transformation's name; ``patched_*`` count test images of the target class
    with the trigger on that are taken for the base class (backdoors only).
    """

    variants: dict[str, int] = {}
    twin_variants: dict[str, int] = {}
    patched_images: int = 0
    patched_hits: int = 0
    twin_patched_hits: int = 0
    checkpoint: str | None = None  # the victim's, where trials draw theirs


Point = tuple[float, float]
Curve = tuple[tuple[int, float], ...]  # (epoch, value); the first epoch is 1


class Explanation(Message):
    """Why a victim was fooled, or was not. Features are the victim's own, penultimate.

    Points lie in the plane of ``poisoning.explain``; points and distances are in units of the
    length of the target's feature vector. ``margins`` are the target's over the epochs. Where
    features move in training, so are ``distances`` and ``nearest`` (as distance_after and
    nearest_after), epoch 0 being the network that training began with, and ``before`` is what that
    one saw; ``twin_distances`` are of the bases' mean in the twin, which has no poisons.
    """

    target: Point
    bases: tuple[Point, ...]
    poisons: tuple[Point, ...]
    base_class: tuple[Point, ...]  # clean training images
    target_class: tuple[Point, ...]
    distance_before: float  # of the bases' mean to the target
    distance_after: float  # of the poisons' mean
    nearest_before: float  # of the nearest base
    nearest_after: float  # of the nearest poison
    class_distance: float | None  # median, of the target class's own training images
    margins: Curve = ()
    twin_margins: Curve = ()
    distances: Curve = ()
    nearest: Curve = ()
    twin_distances: Curve = ()
    before: "Explanation | None" = None


class OutcomeResult(Message):
    """One trial on one victim, with its twin (same draws, base originals for poisons)."""

    victim: int  # position in spec.victims
    access: Access
    success: bool
    poisoned: Judged
    twin: Judged
    twin_success: bool
    clean_images: int  # size of the test split clean_accuracy was measured on
    seconds: float  # by the clock; of what was trained together, its share
    device_seconds: float | None = None  # devices.Stopwatch's
    outcome_hash: str
    provenance: dict[str, Any] | None = None  # under which it was trained and judged
    extras: Extras = Extras()
    explanation: Explanation | None = None


class TrialDone(Message):
    """A trial is finished: everything the database keeps of it."""

    event: Literal["trial"] = "trial"
    index: int
    setup: Setup
    poison_set: str  # path below work_dir
    poison_set_hash: str
    craft_hash: str
    craft_seconds: float
    craft_device_seconds: float | None = None
    provenance: dict[str, Any] | None = None  # under which its poisons were crafted
    linf_255: int  # exact, on uint8, outside the trigger where the budget says so
    mean_l2: float  # per poison, pixels in [0, 1]
    ssim: float
    final_loss: float | None
    outcomes: tuple[OutcomeResult, ...]


class CheckpointDone(Message):
    event: Literal["checkpoint"] = "checkpoint"
    name: str
    path: str  # below work_dir
    sha256: str
    clean_accuracy: float
    card: dict[str, Any]
    seconds: float

    @classmethod
    def of(cls, card: Card, path: Path, seconds: float) -> Self:
        """Of a checkpoint that was stored under ``path`` with this card."""
        return cls(
            name=card.name,
            path=path.name,
            sha256=card.sha256,
            clean_accuracy=card.clean_accuracy,
            card=card.model_dump(mode="json"),
            seconds=seconds,
        )


class Failed(Message):
    """The job cannot go on. ``field`` and ``remedy`` speak to the person who launched it."""

    event: Literal["failed"] = "failed"
    reason: Literal["bad_input", "bad_data", "out_of_memory", "budget_broken", "error"]
    message: str
    field: str | None = None
    remedy: str | None = None


class Done(Message):
    event: Literal["done"] = "done"
    seconds: float


Event = Annotated[
    Started | Progress | Log | TrialDone | CheckpointDone | Failed | Done,
    Field(discriminator="event"),
]
EVENT: TypeAdapter[Started | Progress | Log | TrialDone | CheckpointDone | Failed | Done] = (
    TypeAdapter(Event)
)
