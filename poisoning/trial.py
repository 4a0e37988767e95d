"""Trials, whole: setups, craft, round, check, train victims on the stored pixels, judge.

Everything random follows from the experiment's seed by name, and everything that is judged is
what is stored.
"""

import math
import time
from collections.abc import Callable, Sequence

import torch
from pydantic import ValidationError

from poisoning import catalog, check, crafting, devices, identity
from poisoning.check import Perceptibility
from poisoning.crafting import Crafted
from poisoning.data.setups import setup
from poisoning.data.training_set import clean_indices
from poisoning.devices import Spent, Stopwatch
from poisoning.events import Log, Message, OutcomeResult, Progress, TrialDone, TrialsJob
from poisoning.inputs import Inputs
from poisoning.naming import victim_name
from poisoning.spec import SAMPLED, FieldError, checkpoint_of
from poisoning.victim_params import AnyVictim
from poisoning.victims import Verdict, VictimBatch
from poisoning.work import is_out_of_memory

Emit = Callable[[Message], None]
OnStep = Callable[[int, int, dict[str, float]], None]  # done, total, values


def run(job: TrialsJob, emit: Emit) -> None:
    """Carry the trials ``job.indices`` through; ``emit`` a TrialDone for each as it is done.

    Raises FieldError, DataError, CheckpointError, BudgetBroken, or what the device raises when
    its memory is full even with a single trial.
    """
    devices.configure(job.spec.precision, job.machine.threads)
    emit(Progress(stage="load", done=0, total=1, unit="data sets", detail=job.spec.data.dataset))
    inputs, before = Inputs(job), 0
    for view, indices in _groups(inputs, job.indices):
        size = view.trials_at_once()
        for start in range(0, len(indices), size):
            part = indices[start : start + size]
            _carry_through(view, part, before, emit)
            before += len(part)


def _groups(inputs: Inputs, indices: Sequence[int]) -> list[tuple[Inputs, list[int]]]:
    """Trials that use the same checkpoints go together."""
    groups: dict[int, tuple[Inputs, list[int]]] = {}
    for index in indices:
        view = inputs.for_trial(index)
        groups.setdefault(id(view), (view, []))[1].append(index)
    return list(groups.values())


def _carry_through(inputs: Inputs, indices: Sequence[int], before: int, emit: Emit) -> None:
    """A batch of trials; in halves where they do not fit into memory together."""
    try:
        _batch(inputs, indices, before, emit)
    except (MemoryError, RuntimeError) as error:
        if len(indices) == 1 or not is_out_of_memory(error):
            raise
        half = len(indices) // 2
        what = f"{len(indices)} trials do not fit into memory together; going on with {half}"
        emit(Log(level="warning", message=what))
    else:
        return
    devices.free(inputs.device)
    _carry_through(inputs, indices[:half], before, emit)
    _carry_through(inputs, indices[half:], before + half, emit)


def _batch(inputs: Inputs, indices: Sequence[int], before: int, emit: Emit) -> None:
    job = inputs.job
    stages, began = Stages(job, before, len(indices), emit), time.monotonic()
    setups = [
        setup(job.spec.data, inputs.data, job.spec.seed, index, job.machine.data_dir)
        for index in indices
    ]
    crafted = crafting.craft(inputs, indices, setups, stages.crafting)
    measured = [_check(inputs, made) for made in crafted]
    batch = _victim_batch(inputs, crafted)
    outcomes = [
        _train_and_judge(inputs, number, batch, crafted, stages)
        for number in range(len(inputs.spec.victims))
    ]
    for made, visible, judged in zip(crafted, measured, zip(*outcomes, strict=True), strict=True):
        emit(_trial_done(made, visible, judged))
    emit(Log(message=f"{stages.detail}: {_in_words(crafted, outcomes, began)}"))


def _in_words(
    crafted: Sequence[Crafted], outcomes: Sequence[Sequence[OutcomeResult]], began: float
) -> str:
    """What came out of a batch, for the log."""
    rates = [
        f"{sum(one.success for one in judged)} of {len(judged)} "
        f"{judged[0].access.replace('_', ' ')} victims fooled"
        for judged in outcomes
    ]
    crafting = sum(made.spent.seconds for made in crafted)
    seconds = time.monotonic() - began
    return f"{', '.join(rates)}; {seconds:.1f} s, of which {crafting:.1f} s crafting"


def _check(inputs: Inputs, made: Crafted) -> Perceptibility:
    """The exact budget, on what is stored."""
    attack, train = inputs.spec.attack, inputs.data.train
    budget = catalog.attack(attack.name).budget
    eps_255 = getattr(attack, "eps_255", None)
    return check.check(made.poison_set, train.images.numpy(), train.labels.numpy(), budget, eps_255)


def _victim_batch(inputs: Inputs, crafted: Sequence[Crafted]) -> VictimBatch:
    """The poisoned training sets of these trials."""
    spec, sets = inputs.spec, [made.poison_set for made in crafted]
    labels = inputs.data.train.labels
    return VictimBatch(
        seed=spec.seed,
        indices=tuple(made.index for made in crafted),
        clean=torch.stack([clean_indices(labels, spec.data, made.setup) for made in crafted]),
        base_indices=torch.stack([torch.from_numpy(s.base_indices) for s in sets]),
        poisons=torch.stack([torch.from_numpy(s.poisons) for s in sets]),
        base_labels=torch.tensor([s.base_class for s in sets]),
        targets=torch.stack([torch.from_numpy(s.target[0]) for s in sets]),
        target_labels=torch.tensor([s.target_label for s in sets]),
        trigger=None if inputs.trigger is None else inputs.trigger.to_uint8(),
    )


def _train_and_judge(
    inputs: Inputs,
    number: int,
    batch: VictimBatch,
    crafted: Sequence[Crafted],
    stages: "Stages",
) -> list[OutcomeResult]:
    """All trials of the batch on victim ``number``, with their twins."""
    victim = inputs.spec.victims[number]
    regime = catalog.regime(victim.regime)
    train, report = catalog.resolve(regime.train), stages.training(number)
    if regime.at_once:
        watch = Stopwatch(inputs.device)
        verdicts = train(victim, inputs, batch, report)
        spent = watch.spent(len(batch))
        return [
            _outcome(inputs, number, made, verdict, spent)
            for made, verdict in zip(crafted, verdicts, strict=True)
        ]
    return [
        _judged_once(inputs, number, batch.only(t), made, stages.one_of(t, len(batch), report))
        for t, made in enumerate(crafted)
    ]


def _judged_once(
    inputs: Inputs, number: int, batch: VictimBatch, made: Crafted, on_step: OnStep
) -> OutcomeResult:
    """One slow victim; where an earlier attempt at the job judged it, what it found."""
    victim = inputs.spec.victims[number]
    note = inputs.work_dir / "judged" / f"{outcome_hash(inputs, victim, made)}.json"
    try:
        return OutcomeResult.model_validate_json(note.read_bytes())
    except (OSError, ValidationError):
        watch = Stopwatch(inputs.device)
    train = catalog.resolve(catalog.regime(victim.regime).train)
    (verdict,) = train(victim, inputs, batch, on_step)
    outcome = _outcome(inputs, number, made, verdict, watch.spent())
    note.parent.mkdir(exist_ok=True)
    partial = note.with_suffix(".part")
    partial.write_text(outcome.model_dump_json(), encoding="utf-8")
    partial.replace(note)
    return outcome


def _outcome(
    inputs: Inputs, number: int, made: Crafted, verdict: Verdict, spent: Spent
) -> OutcomeResult:
    victim, base_class = inputs.spec.victims[number], made.setup.base_class
    is_drawn = checkpoint_of(inputs.job.spec.victims[number]) == SAMPLED
    extras = verdict.extras.model_copy(update={"checkpoint": inputs.sampled if is_drawn else None})
    return OutcomeResult(
        victim=number,
        access=inputs.access(victim),
        success=verdict.poisoned.prediction == base_class,
        poisoned=verdict.poisoned,
        twin=verdict.twin,
        twin_success=verdict.twin.prediction == base_class,
        clean_images=len(inputs.data.test),
        seconds=spent.seconds,
        device_seconds=spent.device_seconds,
        outcome_hash=outcome_hash(inputs, victim, made),
        provenance=inputs.provenance,
        extras=extras,
        explanation=verdict.explanation,
    )


def outcome_hash(inputs: Inputs, victim: AnyVictim, made: Crafted) -> str:
    """What an outcome follows from."""
    name = checkpoint_of(victim)
    sha256 = inputs.checkpoints[name].card.sha256 if name else None
    return identity.outcome_hash(inputs.spec, made.index, victim, made.craft_hash, sha256)


def _trial_done(
    made: Crafted, visible: Perceptibility, outcomes: tuple[OutcomeResult, ...]
) -> TrialDone:
    return TrialDone(
        index=made.index,
        setup=made.setup,
        poison_set=made.path,
        poison_set_hash=made.path.removesuffix(".safetensors"),
        craft_hash=made.craft_hash,
        craft_seconds=made.spent.seconds,
        craft_device_seconds=made.spent.device_seconds,
        provenance=made.provenance,
        linf_255=visible.linf_255,
        mean_l2=visible.mean_l2,
        ssim=visible.ssim,
        final_loss=made.final_loss,
        outcomes=outcomes,
    )


class Stages:
    """Says how far the job is, while one batch of its trials is worked on."""

    def __init__(self, job: TrialsJob, before: int, trials: int, emit: Emit) -> None:
        self.job, self.before, self.trials, self.emit = job, before, trials, emit
        whole = len(job.indices)
        self.detail = f"trials {before + 1} to {before + trials} of {whole}"

    def crafting(self, step: int, total: int, values: dict[str, float]) -> None:
        _expect_finite(values, "attack", "its objective")
        self._say("craft", step, total, "steps", self.detail, values)

    def training(self, number: int) -> OnStep:
        victim = self.job.spec.victims[number]
        name, unit = victim_name(victim), catalog.regime(victim.regime).unit

        def on_step(done: int, total: int, values: dict[str, float]) -> None:
            field = f"victims.{number}.recipe.learning_rate"
            _expect_finite(values, field, f"the loss on {name}")
            self._say("victims", done, total, unit, f"{name}, {self.detail}", values, number)

        return on_step

    @staticmethod
    def one_of(t: int, trials: int, report: OnStep) -> OnStep:
        """Progress of trial ``t`` alone as progress of all of the batch's trials."""

        def on_step(done: int, total: int, values: dict[str, float]) -> None:
            report(t * total + done, trials * total, values)

        return on_step

    def _say(
        self,
        stage: str,
        done: int,
        total: int,
        unit: str,
        detail: str,
        values: dict[str, float],
        victim: int | None = None,
    ) -> None:
        """``done`` counts over all trials of the job, so that it never goes back."""
        self.emit(
            Progress(
                stage=stage,  # type: ignore[arg-type]
                done=self.before * total + self.trials * done,
                total=len(self.job.indices) * total,
                unit=unit,
                victim=victim,
                detail=detail,
                values=values,
            )
        )


def _expect_finite(values: dict[str, float], field: str, what: str) -> None:
    for value in values.values():
        if not math.isfinite(value):
            raise FieldError(field, f"{what} became {value}", "lower the rate or the step size")
