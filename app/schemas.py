"""What the server says: one model per noun, shared by the JSON API and the HTML pages."""

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from poisoning.events import Extras

T = TypeVar("T")


class Rate(BaseModel):
    """A success rate, never without its n, its error bar and its interval (fractions)."""

    model_config = ConfigDict(frozen=True)
    successes: int
    n: int
    rate: float
    standard_error: float  # the paper's error bar
    low: float  # 95 %
    high: float
    # a confidence sequence where n was not fixed before anybody looked: valid at every n at once
    interval: Literal["wilson", "confidence_sequence"] = "wilson"


class Excess(BaseModel):
    """Rate minus the twins' rate, with the paired 95 % interval (Newcombe's method 10)."""

    model_config = ConfigDict(frozen=True)
    value: float
    low: float
    high: float
    interval: Literal["newcombe", "confidence_sequence"] = "newcombe"


class VictimSummary(BaseModel):
    """What came out for one victim of one experiment, over its finished trials."""

    victim: int
    title: str  # "ResNet-18, frozen"
    label: str | None
    regime: str
    checkpoint: str | None
    model: str
    access: str | None  # None until the first outcome
    success: Rate | None
    twin: Rate | None
    excess: Excess | None
    clean_accuracy: float | None
    twin_clean_accuracy: float | None


class VictimExtras(BaseModel):
    """What else one victim of one experiment was asked, over its finished trials."""

    victim: int
    trials: int
    # by transformation of the target: of the trials fooled, those fooled on that too
    survives: dict[str, Rate] = {}
    # backdoors: test images with the trigger on that are taken for the base class, mean over
    # trials and its standard error (fractions)
    patched_rate: float | None = None
    patched_error: float | None = None
    twin_patched_rate: float | None = None
    patched_images: int = 0  # the most a trial counted


class JobView(BaseModel):
    id: int
    kind: str
    state: str
    attempt: int
    owner: str | None
    cancel_requested: bool = False  # and not yet obeyed
    progress: dict[str, Any] | None
    provenance: dict[str, Any] | None
    error: dict[str, Any] | None
    started_at: datetime | None
    finished_at: datetime | None


class ExperimentSummary(BaseModel):
    """A row of the list of experiments."""

    id: int
    title: str
    state: str
    attack: str
    attack_title: str
    dataset: str
    dataset_title: str
    profile: str
    precision: str
    study_id: int | None
    sweep_id: int | None = None
    tags: list[str] = []
    archived_at: datetime | None = None  # not shown in the list any more; nothing is lost
    trials_total: int
    trials_done: int
    stop_width: float | None = None  # it stops when every interval is at most so wide (a fraction)
    stopped_at: datetime | None = None  # when it did; the rest of its trials is not run
    # it may stop early, or was extended: its intervals are confidence sequences
    is_sequential: bool = False
    victims: list[VictimSummary]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class ExperimentSeries(BaseModel):
    """Experiments that differ only in their seed, as one row: what they found, pooled.

    A seed that was run twice counts once. An experiment without another seed is a row too.
    """

    newest: ExperimentSummary  # its victims are the pooled ones
    ids: list[int]  # newest first
    seeds: int
    states: dict[str, int]  # how many are in each
    trials_total: int
    trials_done: int
    tags: list[str]  # of any of them
    notes: str  # of the newest
    spec: dict[str, Any]  # of the newest


class Stage(BaseModel):
    """One stage of an experiment: pretraining, crafting, training victims."""

    name: str
    done: int
    total: int
    unit: str
    share: float = 0  # that is done, 0 to 1; counts what has been begun
    state: str  # waiting | running | done | stopped
    detail: str = ""
    eta_s: float | None = None


class CurveView(BaseModel):
    """One value that a stage of a job optimised, thinned out to at most 200 points."""

    job_id: int
    stage: str  # pretrain | craft | victims
    victim: int | None  # the one that is trained
    name: str  # loss, twin_loss, accuracy, ...
    total: int
    unit: str  # of total
    points: list[tuple[float, float, int]]  # share of the stage, value, run


class RateSoFar(BaseModel):
    """A victim's rate, and its twin's, over the trials in the order they were finished."""

    victim: int
    success: list[Rate]
    twin: list[Rate]


class LogEntry(BaseModel):
    id: int
    at: datetime
    level: str
    message: str


class ExperimentDetail(ExperimentSummary):
    spec: dict[str, Any]
    spec_hash: str
    notes: str
    error: str | None
    cloned_from: int | None
    answer: str  # the page's first line, in words
    stages: list[Stage]
    jobs: list[JobView]
    seconds: float | None
    extras: list[VictimExtras] = []  # of the victims that were asked more


class OutcomeView(BaseModel):
    victim: int
    title: str
    access: str
    success: bool
    prediction: int
    prediction_name: str
    confidence: float
    margin: float
    clean_accuracy: float
    twin_success: bool
    twin_prediction: int
    twin_prediction_name: str
    twin_confidence: float
    twin_margin: float
    twin_clean_accuracy: float
    clean_images: int
    seconds: float
    device_seconds: float | None = None  # of the processor's threads, or of the GPU
    outcome_hash: str
    provenance: str | None = None  # sha256 of that under which it was trained and judged
    extras: Extras | None = None


class TrialView(BaseModel):
    id: int
    experiment_id: int
    number: int
    state: str
    target_class: int | None
    target_name: str | None
    target_index: int | None
    base_class: int | None
    base_name: str | None
    base_indices: list[int] | None
    poison_set: str | None  # sha256
    craft_hash: str | None
    craft_seconds: float | None
    craft_device_seconds: float | None = None
    provenance: str | None = None  # sha256 of that under which its poisons were crafted
    linf_255: int | None
    mean_l2: float | None
    ssim: float | None
    final_loss: float | None
    outcomes: list[OutcomeView]


class ProvenanceView(BaseModel):
    """Under what trials were crafted or judged; ``data`` is as the job said it."""

    sha256: str  # of its canonical JSON
    data: dict[str, Any]


class CheckpointView(BaseModel):
    id: int
    name: str
    state: str
    model: str
    model_title: str
    dataset: str
    dataset_title: str
    spec: dict[str, Any] | None
    is_foreign: bool = False  # trained elsewhere: its spec says how it was read, not how trained
    sha256: str | None
    clean_accuracy: float | None
    clean_images: int | None
    is_adversarial: bool = False  # trained on images that were attacked first
    robust_accuracy: float | None = None  # of such a one: under attack, on the card
    card: dict[str, Any] | None
    seconds: float | None
    error: str | None
    progress: dict[str, Any] | None
    created_at: datetime


class StudyView(BaseModel):
    id: int
    name: str
    title: str
    profile: str
    state: str
    experiments: list[ExperimentSummary]
    created_at: datetime


class Page(BaseModel, Generic[T]):
    """One page of a list; ``next`` is the cursor of the following one."""

    items: list[T]
    next: str | None = None


class Estimate(BaseModel):
    """What an experiment will cost, before it is launched."""

    seconds: float
    craft_seconds: float
    victim_seconds: float
    pretrain_seconds: float
    basis: str  # "measured here: 40 crafted trials, ..." or "cost model, uncalibrated"
    batches: int
    memory_mib: float


class WorkerView(BaseModel):
    id: str
    host: str
    device: str
    started_at: datetime
    seen_at: datetime
    is_alive: bool
    job_id: int | None
    experiment_id: int | None = None  # what its job belongs to
    checkpoint: str | None = None


class WorkerAt(BaseModel):
    """Who runs a job of an experiment, or of a checkpoint it waits for."""

    job_id: int
    host: str
    device: str | None
    attempt: int
    checkpoint: str | None  # that is trained
    stage: str | None  # it is in
    seen_at: datetime | None


class QueueView(BaseModel):
    """How much work waits."""

    queued: int
    running: int
    oldest_queued_s: float | None


class PoisonSetView(BaseModel):
    """What is kept of a poison set; its images and its file have addresses of their own."""

    sha256: str
    images: int
    size_bytes: int
    trial_ids: list[int]
    created_at: datetime


class CatalogueEntry(BaseModel):
    """Something that exists by name: what is known of it, and the JSON schema of its knobs."""

    name: str
    title: str
    about: dict[str, Any] = {}
    knobs: dict[str, Any] = {}


class Launched(BaseModel):
    """What a POST made; the same for every repetition under one Idempotency-Key."""

    id: int
    url: str
    title: str
    created_at: datetime
