"""What poisons and outcomes follow from, as hashes. No torch: anybody can check them anywhere.

``spec`` is always that of the trial (``ExperimentSpec.for_trial``), where 'sampled' is replaced.
"""

from collections.abc import Sequence

from poisoning import catalog
from poisoning.events import Setup
from poisoning.spec import Access, ExperimentSpec, digest, seed_for
from poisoning.victim_params import AnyVictim


def craft_hash(
    spec: ExperimentSpec,
    index: int,
    setup: Setup,
    surrogates: Sequence[str],
    dataset_md5: str,
    version: int | None = None,
) -> str:
    """Of the poisons of trial ``index``. ``surrogates``: the sha256 of each; ``version``: the
    attack's, this program's where none is given.
    """
    known = catalog.attack(spec.attack.name).version if version is None else version
    return digest(
        {
            "attack": [known, spec.attack.model_dump()],
            "setup": setup.model_dump(),
            "seed": seed_for(spec.seed, index, "craft"),
            "surrogates": list(surrogates),
            "data": [dataset_md5, spec.data.normalize],
            "precision": spec.precision,
        }
    )


def outcome_hash(
    spec: ExperimentSpec, index: int, victim: AnyVictim, crafted: str, checkpoint: str | None
) -> str:
    """Of one victim judged on poisons with the craft_hash ``crafted``; ``checkpoint``: the sha256
    of the one it starts from. A victim's label is only a name.
    """
    return digest(
        {
            "craft": crafted,
            "victim": victim.model_dump(mode="json", exclude={"checkpoint", "label"}),
            "checkpoint": checkpoint,
            "train_size": spec.data.train_size,
            "seed": [spec.seed, index],
        }
    )


Network = tuple[str | None, str | None]  # (sha256 of a checkpoint, name of the model)


def access(sha256: str | None, model: str | None, surrogates: Sequence[Network]) -> Access:
    """What the attacker knew of a victim that starts from the checkpoint ``sha256``, or from
    random weights (None).
    """
    if sha256 is not None and sha256 in {known for known, _ in surrogates}:
        return "white_box"
    return "grey_box" if model in {known for _, known in surrogates} else "black_box"
