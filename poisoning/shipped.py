"""Checkpoints that come with the project, trained by its own command: no job has to train them.

They lie in ``poisoning/checkpoints`` in half precision, each with its card, whose clean accuracy is
that of the stored file. ``python -m poisoning ship`` puts them there. No torch in here.
"""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poisoning.spec import FieldError, PretrainSpec

if TYPE_CHECKING:
    from poisoning.models.store import Card

FOLDER = Path(__file__).parent / "checkpoints"


def find(name: str, spec: PretrainSpec) -> Path | None:
    """The file of the checkpoint of that name and recipe; None where it does not come with us."""
    path = FOLDER / f"{name}.safetensors"
    try:
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return path if PretrainSpec.model_validate(card["recipe"]) == spec else None


def place(found: Path, path: Path) -> "Card":
    """Copy a shipped checkpoint and its card to ``path``; its card. The card comes last, so that
    a half-finished copy is none.
    """
    from poisoning.models import store

    shutil.copyfile(found, path)
    shutil.copyfile(store.card_path(found), store.card_path(path))
    return store.read_card(path)


def ship(trained: Path, data_dir: Path, folder: Path = FOLDER) -> "Card":
    """Store a trained checkpoint in half precision, judged anew as it is stored.

    Raises store.CheckpointError, data.DataError, or FieldError for one without a recipe.
    """
    import torch

    from poisoning import data
    from poisoning.models import store
    from poisoning.models.evaluate import clean_accuracy
    from poisoning.models.robust import robust_accuracy

    net, card = store.load(trained)
    if card.recipe is None:
        raise FieldError("checkpoint", f"{card.name} was not trained by a recipe of ours")
    net = net.half().float()  # what half precision leaves of it
    test = data.load(card.dataset, data_dir).test
    measured: dict[str, Any] = {
        "clean_accuracy": clean_accuracy(net, test, card.mean, card.std),
        "test_images": len(test),
    }
    if (knobs := card.recipe.adversarial) is not None:
        measured["robust_accuracy"] = robust_accuracy(net, test, card.mean, card.std, knobs)
    card = card.model_copy(update=measured)
    return store.save(folder / trained.name, net, card, torch.float16)
