"""The tables. SQL is the truth; files are named by their hash, messages carry ids only."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app import places
from app.columns import Base, UtcDateTime, from_spec, now


class Study(Base):
    """Experiments that together regenerate one table or figure."""

    __tablename__ = "studies"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    title: Mapped[str] = mapped_column(String(200))
    profile: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    experiments: Mapped[list["Experiment"]] = relationship(back_populates="study")


class Sweep(Base):
    """One field of an experiment at several values: how much poison it takes.

    ``field`` and ``ladder`` are those of a dose.Sweep of ``spec``. A grid runs every rung; an
    adaptive one measures next where the curve asks for it, ``budget`` trials at most.
    """

    __tablename__ = "sweeps"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    field: Mapped[str] = mapped_column(String(60))
    ladder: Mapped[list[float]] = mapped_column(JSON)
    design: Mapped[str] = mapped_column(String(16))  # grid | adaptive
    budget: Mapped[int | None] = mapped_column(Integer)
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    notes: Mapped[str] = mapped_column(Text, default="", server_default="")
    tags: Mapped[list[str]] = mapped_column(JSON, default=list, server_default="[]")
    # an adaptive one goes on while neither is set
    cancelled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    error: Mapped[str | None] = mapped_column(Text)  # why its next experiment was refused
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    experiments: Mapped[list["Experiment"]] = relationship(back_populates="sweep")


class Experiment(Base):
    """One attack spec, a list of victim specs, N setups."""

    __tablename__ = "experiments"
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int | None] = mapped_column(ForeignKey("studies.id"))
    sweep_id: Mapped[int | None] = mapped_column(ForeignKey("sweeps.id"), index=True)
    title: Mapped[str] = mapped_column(String(200))
    notes: Mapped[str] = mapped_column(Text, default="")
    # queued | waiting (for a checkpoint) | running | done | failed | cancelled
    state: Mapped[str] = mapped_column(String(16), default="queued")
    spec: Mapped[dict[str, Any]] = mapped_column(JSON)
    spec_hash: Mapped[str] = mapped_column(String(64), index=True)
    # the same for experiments that differ only in their seed
    series: Mapped[str] = mapped_column(String(16), index=True, default=from_spec(places.series))
    regimes: Mapped[str] = mapped_column(String(60), default=from_spec(places.regimes))
    attack: Mapped[str] = mapped_column(String(60))
    dataset: Mapped[str] = mapped_column(String(60))
    profile: Mapped[str] = mapped_column(String(16))
    precision: Mapped[str] = mapped_column(String(16))
    trials_total: Mapped[int] = mapped_column(Integer)
    # stop when every victim's interval is at most this wide (a fraction); None: run all trials
    stop_width: Mapped[float | None] = mapped_column(Float)
    # looked at before its n was fixed: it may stop early, or was extended; its intervals are
    # confidence sequences from then on
    is_sequential: Mapped[bool] = mapped_column(Boolean, default=False, server_default="0")
    # when its intervals were narrow enough; the trials that were not run then are skipped
    stopped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    cloned_from: Mapped[int | None] = mapped_column(ForeignKey("experiments.id"))
    tags: Mapped[list[str]] = mapped_column(JSON, default=list, server_default="[]")
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    study: Mapped[Study | None] = relationship(back_populates="experiments")
    sweep: Mapped[Sweep | None] = relationship(back_populates="experiments")
    trials: Mapped[list["Trial"]] = relationship(
        back_populates="experiment", order_by="Trial.number"
    )
    jobs: Mapped[list["Job"]] = relationship(back_populates="experiment", order_by="Job.id")
    __table_args__ = (Index("ix_experiments_state_created", "state", "created_at"),)


class Job(Base):
    """A unit of execution: a batch of trials of one experiment, or one pretraining.

    Claimed by compare-and-set; ``attempt`` is the fencing token: a result is written only where
    id, attempt and owner still match. ``beats`` is raised by every heartbeat.
    """

    __tablename__ = "jobs"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))  # trials | pretrain | adopt
    # queued | running | done | failed | cancelled | skipped (its experiment stopped early)
    state: Mapped[str] = mapped_column(String(16), default="queued")
    priority: Mapped[int] = mapped_column(Integer, default=0)
    experiment_id: Mapped[int | None] = mapped_column(ForeignKey("experiments.id"), index=True)
    checkpoint_id: Mapped[int | None] = mapped_column(ForeignKey("checkpoints.id"), index=True)
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    # deaths and errors since the last finished trial; three end the job
    failures: Mapped[int] = mapped_column(Integer, default=0)
    owner: Mapped[str | None] = mapped_column(String(120))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    beats: Mapped[int] = mapped_column(Integer, default=0)
    cancel_requested: Mapped[bool] = mapped_column(Boolean, default=False)
    # {"stage", "done", "total", "unit", "detail", "values"} of the last Progress event
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    provenance: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # a Failed event
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    experiment: Mapped[Experiment | None] = relationship(back_populates="jobs")
    checkpoint: Mapped["Checkpoint | None"] = relationship(back_populates="jobs")
    trials: Mapped[list["Trial"]] = relationship(back_populates="job", order_by="Trial.number")
    __table_args__ = (Index("ix_jobs_queue", "state", "priority", "id"),)


class JobStage(Base):
    """How one stage of a job goes, or went: how far, how fast, what it optimised.

    ``victim`` is the position of the one that is trained, 0 in other stages. ``measured`` is the
    share of the stage that took ``seconds``. ``curves`` holds a few points of each value by its
    name, (share, value, run), thinned out by the worker.
    """

    __tablename__ = "job_stages"
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    stage: Mapped[str] = mapped_column(String(16), primary_key=True)  # pretrain | craft | victims
    victim: Mapped[int] = mapped_column(Integer, primary_key=True)
    done: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[int] = mapped_column(BigInteger)
    unit: Mapped[str] = mapped_column(String(40))
    seconds: Mapped[float] = mapped_column(Float)
    measured: Mapped[float] = mapped_column(Float)
    curves: Mapped[dict[str, Any]] = mapped_column(JSON)


class LogLine(Base):
    """What a job said, in order; the page shows the tail."""

    __tablename__ = "log_lines"
    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), index=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    level: Mapped[str] = mapped_column(String(8))
    message: Mapped[str] = mapped_column(Text)


class PoisonSet(Base):
    """The poisons of one trial, stored under the hash of their content."""

    __tablename__ = "poison_sets"
    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    images: Mapped[int] = mapped_column(Integer)
    size_bytes: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Provenance(Base):
    """Under what trials were crafted and judged: program, versions, device, precision, data,
    checkpoints. Kept once for each distinct content, under the digest of its canonical JSON.
    """

    __tablename__ = "provenances"
    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)


class Trial(Base):
    """One setup carried through: craft, then train and judge each victim."""

    __tablename__ = "trials"
    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"))
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"), index=True)
    number: Mapped[int] = mapped_column(Integer)  # 0 .. trials_total - 1
    # queued | running | done | failed | cancelled | skipped (its experiment stopped early)
    state: Mapped[str] = mapped_column(String(16), default="queued")
    target_class: Mapped[int | None] = mapped_column(Integer)
    target_index: Mapped[int | None] = mapped_column(Integer)
    base_class: Mapped[int | None] = mapped_column(Integer)
    base_indices: Mapped[list[int] | None] = mapped_column(JSON)
    poison_set_id: Mapped[int | None] = mapped_column(ForeignKey("poison_sets.id"))
    craft_hash: Mapped[str | None] = mapped_column(String(64), index=True)
    craft_seconds: Mapped[float | None] = mapped_column(Float)
    craft_device_seconds: Mapped[float | None] = mapped_column(Float)
    # under which its poisons were crafted, which need not be that of its outcomes
    provenance_id: Mapped[int | None] = mapped_column(ForeignKey("provenances.id"))
    linf_255: Mapped[int | None] = mapped_column(Integer)
    mean_l2: Mapped[float | None] = mapped_column(Float)
    ssim: Mapped[float | None] = mapped_column(Float)
    final_loss: Mapped[float | None] = mapped_column(Float)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    experiment: Mapped[Experiment] = relationship(back_populates="trials")
    job: Mapped[Job] = relationship(back_populates="trials")
    poison_set: Mapped[PoisonSet | None] = relationship()
    provenance: Mapped[Provenance | None] = relationship()
    outcomes: Mapped[list["Outcome"]] = relationship(
        back_populates="trial", order_by="Outcome.victim"
    )
    __table_args__ = (
        UniqueConstraint("experiment_id", "number"),
        # counts and mean costs of an experiment, without touching the rows
        Index("ix_trials_cost", "experiment_id", "state", "craft_seconds", "linf_255"),
    )


class Outcome(Base):
    """One trial on one victim, beside its twin."""

    __tablename__ = "outcomes"
    id: Mapped[int] = mapped_column(primary_key=True)
    trial_id: Mapped[int] = mapped_column(ForeignKey("trials.id"))
    # a copy, so that one experiment's outcomes are counted from one covering index
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"))
    victim: Mapped[int] = mapped_column(Integer)  # position in the spec's victims
    access: Mapped[str] = mapped_column(String(16))
    success: Mapped[bool] = mapped_column(Boolean)
    prediction: Mapped[int] = mapped_column(Integer)
    confidence: Mapped[float] = mapped_column(Float)
    margin: Mapped[float] = mapped_column(Float)
    clean_accuracy: Mapped[float] = mapped_column(Float)
    twin_success: Mapped[bool] = mapped_column(Boolean)
    twin_prediction: Mapped[int] = mapped_column(Integer)
    twin_confidence: Mapped[float] = mapped_column(Float)
    twin_margin: Mapped[float] = mapped_column(Float)
    twin_clean_accuracy: Mapped[float] = mapped_column(Float)
    clean_images: Mapped[int] = mapped_column(Integer)
    seconds: Mapped[float] = mapped_column(Float)
    device_seconds: Mapped[float | None] = mapped_column(Float)
    provenance_id: Mapped[int | None] = mapped_column(ForeignKey("provenances.id"))
    outcome_hash: Mapped[str] = mapped_column(String(64), index=True)
    extras: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # events.Extras, what is set of it
    trial: Mapped[Trial] = relationship(back_populates="outcomes")
    explanation: Mapped["Explanation | None"] = relationship()
    provenance: Mapped[Provenance | None] = relationship()
    __table_args__ = (
        UniqueConstraint("trial_id", "victim"),
        Index(
            "ix_outcomes_board",
            "experiment_id",
            "victim",
            "access",
            "success",
            "twin_success",
            "clean_accuracy",
            "twin_clean_accuracy",
        ),
    )


class TrialSum(Base):
    """The finished trials of one experiment, added up as they come (app.services.sums)."""

    __tablename__ = "trial_sums"
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"), primary_key=True)
    trials: Mapped[int] = mapped_column(Integer)
    craft_seconds: Mapped[float] = mapped_column(Float)
    linf_255: Mapped[int] = mapped_column(Integer)  # the largest
    mean_l2: Mapped[float] = mapped_column(Float)
    ssim: Mapped[float] = mapped_column(Float)


class OutcomeSum(Base):
    """The outcomes of one victim of one experiment, added up as they come (app.services.sums).

    Outcomes that an earlier experiment of the same profile had already are counted apart
    (``is_repeat``), so that what is pooled over experiments counts a trial once. The keys are
    those of app.places.
    """

    __tablename__ = "outcome_sums"
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"), primary_key=True)
    victim: Mapped[int] = mapped_column(Integer, primary_key=True)
    access: Mapped[str] = mapped_column(String(16), primary_key=True)
    is_repeat: Mapped[bool] = mapped_column(Boolean, primary_key=True)
    board_key: Mapped[str] = mapped_column(String(16))
    row_key: Mapped[str] = mapped_column(String(16))
    column_key: Mapped[str] = mapped_column(String(16))
    n: Mapped[int] = mapped_column(Integer)
    successes: Mapped[int] = mapped_column(Integer)
    twins: Mapped[int] = mapped_column(Integer)
    both: Mapped[int] = mapped_column(Integer)
    clean: Mapped[float] = mapped_column(Float)
    twin_clean: Mapped[float] = mapped_column(Float)
    is_sequential: Mapped[bool] = mapped_column(Boolean, default=False, server_default="0")
    __table_args__ = (
        Index("ix_outcome_sums_board", "board_key", "row_key", "column_key", "access"),
    )


class Explanation(Base):
    """Why a victim was fooled, or was not: an events.Explanation. Apart, because it is long."""

    __tablename__ = "explanations"
    outcome_id: Mapped[int] = mapped_column(ForeignKey("outcomes.id"), primary_key=True)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)


class Checkpoint(Base):
    """A pretrained network by name: trained by a job, shipped, or imported."""

    __tablename__ = "checkpoints"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)
    # queued | training | ready | failed | cancelled
    state: Mapped[str] = mapped_column(String(16), default="queued")
    spec: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # or an AdoptSpec; None: imported
    model: Mapped[str] = mapped_column(String(60))
    dataset: Mapped[str] = mapped_column(String(60))
    sha256: Mapped[str | None] = mapped_column(String(64))
    clean_accuracy: Mapped[float | None] = mapped_column(Float)
    card: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    seconds: Mapped[float | None] = mapped_column(Float)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    jobs: Mapped[list[Job]] = relationship(back_populates="checkpoint", order_by="Job.id")


class ExperimentCheckpoint(Base):
    """Which checkpoints an experiment uses; it waits until all of them are ready."""

    __tablename__ = "experiment_checkpoints"
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"), primary_key=True)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id"), primary_key=True)


class Worker(Base):
    """A worker that has been seen: where it runs, on what, and when it last said so."""

    __tablename__ = "workers"
    id: Mapped[str] = mapped_column(String(120), primary_key=True)  # host:pid:boot id
    host: Mapped[str] = mapped_column(String(120))
    device: Mapped[str] = mapped_column(String(120))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id"))


class Token(Base):
    """A bearer token: shown once, kept as a hash."""

    __tablename__ = "tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    prefix: Mapped[str] = mapped_column(String(16), unique=True)
    sha256: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(JSON)  # read, submit, admin
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SavedView(Base):
    """A page's filters, columns and order by a name: what stands behind its ``?``."""

    __tablename__ = "saved_views"
    id: Mapped[int] = mapped_column(primary_key=True)
    page: Mapped[str] = mapped_column(String(40))  # experiments | leaderboards | compare
    name: Mapped[str] = mapped_column(String(80))
    query: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    __table_args__ = (UniqueConstraint("page", "name"),)


class IdempotencyKey(Base):
    """A POST that was answered: the same key and body get the same answer."""

    __tablename__ = "idempotency_keys"
    key: Mapped[str] = mapped_column(String(120), primary_key=True)
    caller: Mapped[str] = mapped_column(String(60), primary_key=True)
    body_hash: Mapped[str] = mapped_column(String(64))
    experiment_id: Mapped[int | None] = mapped_column(ForeignKey("experiments.id"))
    study_id: Mapped[int | None] = mapped_column(ForeignKey("studies.id"))
    sweep_id: Mapped[int | None] = mapped_column(ForeignKey("sweeps.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
