"""Jobs on the digits with untrained networks: whole trials in a second."""

from pathlib import Path

from poisoning import params, victim_params
from poisoning.events import Machine, Message, TrialDone, TrialsJob
from poisoning.models import build, store
from poisoning.spec import DataSpec, ExperimentSpec

NAMES = {"white": ("resnet6_w16", 0), "grey": ("resnet6_w16", 1), "black": ("convnet3", 2)}
RECIPE = victim_params.Recipe(epochs=3, batch_size=32, learning_rate=0.05, drop_epochs=(2,))


def checkpoints(folder: Path) -> dict[str, str]:
    """Three stored networks, all of them untrained; name -> path."""
    paths = {}
    for name, (model, seed) in NAMES.items():
        path = folder / f"{name}.safetensors"
        card = store.Card(
            name=name, model=model, num_classes=5, image_size=32, dataset="digits_0_4",
            dataset_md5="0" * 32, mean=(0.5,) * 3, std=(0.5,) * 3, clean_accuracy=0.2,
            test_images=251,
        )  # fmt: skip
        store.save(path, build(model, 5, seed=seed), card)
        paths[name] = str(path)
    return paths


def spec(attack: params.Knobs | None = None, **changes) -> ExperimentSpec:
    values = {
        "attack": attack or params.BullseyePolytope(eps_255=16, steps=5),
        "surrogates": ("white",),
        "victims": tuple(victim_params.FrozenVictim(checkpoint=n, recipe=RECIPE) for n in NAMES),
        "data": DataSpec(dataset="digits_5_9", train_size=60, poisons=4),
        "trials": 3,
        "seed": 11,
    }
    return ExperimentSpec(**(values | changes))


def job(folder: Path, experiment: ExperimentSpec | None = None, indices=None) -> TrialsJob:
    """A job whose work folder is ``folder``/work."""
    experiment = experiment or spec()
    work = folder / "work"
    work.mkdir(exist_ok=True)
    return TrialsJob(
        spec=experiment,
        indices=tuple(range(experiment.trials)) if indices is None else indices,
        checkpoints=checkpoints(folder),
        machine=Machine(data_dir=str(folder), work_dir=str(work), device="cpu", threads=1),
    )


class Heard(list[Message]):
    """Everything a job said."""

    def __call__(self, message: Message) -> None:
        self.append(message)

    def trials(self) -> list[TrialDone]:
        return [message for message in self if isinstance(message, TrialDone)]

    def of(self, kind: type[Message]) -> list[Message]:
        return [message for message in self if isinstance(message, kind)]
