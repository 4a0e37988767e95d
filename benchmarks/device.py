"""``python -m benchmarks.device``: what the work itself takes on one device, whole and unscaled.

Where the suite compares two ways of doing a thing, this runs jobs as a worker does and counts the
seconds of their parts. Meant for a GPU; ``--size toy`` does the same in small on anything. What is
done is written down trial by trial, so that a second call goes on where the first ended.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

# As in ``python -m poisoning``: read once, when torch is loaded; so before any import of it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from poisoning import devices, work
from poisoning import params as knobs
from poisoning import victim_params as training
from poisoning.cli import DATA_DIR
from poisoning.events import (
    CheckpointDone,
    Log,
    Machine,
    Message,
    PretrainJob,
    TrialDone,
    TrialsJob,
)
from poisoning.recipes import RECIPES
from poisoning.results import Results
from poisoning.spec import DataSpec, ExperimentSpec, Precision, spec_hash

FAST = training.RECIPES["fast_from_scratch"].recipe
SCRATCH = DataSpec(train_size=50_000, poisons=500)


@dataclass(frozen=True)
class Size:
    """How much: ``whole`` is what is reported. Networks are named as checkpoints are."""

    surrogate: str
    other: str
    data: DataSpec
    trials: int
    steps: int  # of Bullseye Polytope
    transfer: training.Recipe
    model: str  # trained from scratch
    scratch: dict[str, tuple[training.Recipe, float | None]]  # by name: recipe, goal in seconds
    scratch_data: DataSpec


SIZES = {
    "whole": Size(
        surrogate="resnet18-cifar100-10ep-s0", other="vgg11-cifar100-12ep-s0", data=DataSpec(),
        trials=100, steps=1200, transfer=training.UNIFIED_FROZEN, model="resnet18",
        scratch={"fast recipe": (FAST, 10), "200 epochs": (training.UNIFIED_FROM_SCRATCH, 240)},
        scratch_data=SCRATCH,
    ),
    "toy": Size(
        surrogate="convnet3-digits_0_4-s0", other="resnet6_w16-digits_0_4-s0",
        data=DataSpec(dataset="digits_5_9", train_size=100, poisons=5), trials=4, steps=20,
        transfer=training.Recipe(epochs=3, learning_rate=0.1, augment=False), model="convnet3",
        scratch={"fast recipe": (FAST.model_copy(update={"epochs": 2, "batch_size": 64}), None)},
        scratch_data=DataSpec(dataset="digits_5_9", train_size=100, poisons=5),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What one piece of work took, and what came out."""

    name: str
    seconds: float
    goal: float | None
    found: str


def rows(size: Size, bench: "Bench", precision: Precision) -> Iterator[Row]:
    """One after another, each as soon as it is done."""
    for name in (size.surrogate, size.other):
        card = bench.checkpoint(name)
        epochs = RECIPES[name].epochs
        found = f"{100 * card.clean_accuracy:.1f} % clean, {card.seconds / epochs:.2f} s an epoch"
        yield Row(f"pretraining {name}", card.seconds, None, found)

    def spec(attack: knobs.AttackParams, victims: tuple[training.AnyVictim, ...]) -> ExperimentSpec:
        needs_one = attack.name != "no_perturbation"
        return ExperimentSpec(
            attack=attack, victims=victims, trials=size.trials, data=size.data, precision=precision,
            surrogates=(size.surrogate,) if needs_one else (),
        )  # fmt: skip

    frozen = tuple(
        training.FrozenVictim(checkpoint=name, recipe=size.transfer)
        for name in (size.surrogate, size.other)
    )
    control = bench.experiment(spec(knobs.NoPerturbation(), frozen))
    for number, name in enumerate((size.surrogate, size.other)):
        seconds = sum(trial.outcomes[number].seconds for trial in control.trials)
        what = f"{size.trials} frozen victims and their twins, {name}"
        yield Row(what, seconds, 60 if number == 0 else None, _rates(control, number))
    attack = knobs.BullseyePolytope(steps=size.steps)
    poisoned = bench.experiment(spec(attack, frozen))
    crafting = sum(trial.craft_seconds for trial in poisoned.trials)
    rates = f"white box {_rates(poisoned, 0)}; black box {_rates(poisoned, 1)}"
    yield Row(f"{size.trials} trials crafted, Bullseye Polytope", crafting, 120, rates)
    for name, (recipe, goal) in size.scratch.items():
        victim = training.FromScratchVictim(model=size.model, recipe=recipe, shared_twins=0)
        alone = spec(knobs.NoPerturbation(), (victim,))
        once = bench.experiment(alone.model_copy(update={"trials": 1, "data": size.scratch_data}))
        outcome = once.trials[0].outcomes[0]
        found = f"{100 * outcome.poisoned.clean_accuracy:.2f} % clean"
        yield Row(f"one victim from scratch, {name}", outcome.seconds, goal, found)


def _rates(results: Results, victim: int) -> str:
    successes = sum(trial.outcomes[victim].success for trial in results.trials)
    return f"{successes} of {len(results.trials)} fooled"


class Bench:
    """Runs jobs on one device and keeps what they found below ``out``."""

    def __init__(self, out: Path, data_dir: Path, device: str) -> None:
        self.out, self.data_dir, self.device = out.resolve(), data_dir, device

    def checkpoint(self, name: str) -> CheckpointDone:
        """A trained extractor; ``seconds`` are those of its training."""
        said: list[Message] = []
        job = PretrainJob(name=name, spec=RECIPES[name], machine=self._machine("checkpoints"))
        self._run(job, said.append)
        return next(event for event in said if isinstance(event, CheckpointDone))

    def experiment(self, spec: ExperimentSpec) -> Results:
        """All of its trials; those that an earlier call finished are read."""
        machine = self._machine(spec_hash(spec)[:16])
        notes = Path(machine.work_dir) / "trials.jsonl"
        results = Results("", spec, _read(notes))
        done = {trial.index for trial in results.trials}
        names = dict.fromkeys(name for _, name in spec.checkpoint_names())
        job = TrialsJob(
            spec=spec,
            indices=tuple(index for index in range(spec.trials) if index not in done),
            checkpoints={n: str(self.out / "checkpoints" / f"{n}.safetensors") for n in names},
            machine=machine,
        )

        def keep(message: Message) -> None:
            if isinstance(message, TrialDone):
                results.trials.append(message)
                with notes.open("a", encoding="utf-8") as file:
                    file.write(message.model_dump_json() + "\n")
            elif isinstance(message, Log):
                print(message.message, file=sys.stderr, flush=True)

        if job.indices:
            self._run(job, keep)
        return results

    def _machine(self, name: str) -> Machine:
        folder = self.out / name
        folder.mkdir(parents=True, exist_ok=True)
        return Machine(
            data_dir=str(self.data_dir), work_dir=str(folder), device=self.device,
            cache_dir=str(self.out / "cache"),
        )  # fmt: skip

    @staticmethod
    def _run(job: PretrainJob | TrialsJob, emit: work.Emit) -> None:
        failed = work.execute(job, emit)
        if failed is not None:
            raise SystemExit(f"{failed.field or failed.reason}: {failed.message}")


def _read(notes: Path) -> list[TrialDone]:
    """The trials of an earlier call; a line that was cut off by its end is none."""
    lines = notes.read_text(encoding="utf-8").splitlines(keepends=True) if notes.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) < len(lines):
        notes.write_text("".join(whole), encoding="utf-8")
    return [TrialDone.model_validate_json(line) for line in whole]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device", description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="whole")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:0, cpu, ...")
    parser.add_argument("--precision", choices=("exact", "fast"), default="fast")
    parser.add_argument("--data-dir", type=Path, default=DATA_DIR)
    parser.add_argument("--out", type=Path, default=Path("build/device"))
    given = parser.parse_args()
    found = []
    bench = Bench(given.out, given.data_dir, given.device)
    for row in rows(SIZES[given.size], bench, given.precision):
        goal = "" if row.goal is None else f" (goal {row.goal:g} s)"
        print(f"{row.name}: {row.seconds:.1f} s{goal}; {row.found}", flush=True)
        found.append(asdict(row))
    device = devices.pick(given.device)
    about = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "size": given.size,
        "precision": given.precision, "provenance": devices.provenance(device), "rows": found,
    }  # fmt: skip
    (given.out / "device.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
