"""Checkpoints put among those of the project, and taken from there."""

import shutil
from pathlib import Path
from typing import Any

import torch

from poisoning import data
from poisoning.models import store
from poisoning.models.evaluate import clean_accuracy
from poisoning.models.robust import robust_accuracy
from poisoning.spec import FieldError


def place(found: Path, path: Path) -> store.Card:
    """Copy a shipped checkpoint and its card to ``path``; its card. The card comes last, so that
    a half-finished copy is none.
    """
    shutil.copyfile(found, path)
    shutil.copyfile(store.card_path(found), store.card_path(path))
    return store.read_card(path)


def ship(trained: Path, data_dir: Path, folder: Path) -> store.Card:
    """Store a trained checkpoint in half precision, judged anew as it is stored.

    Raises store.CheckpointError, data.DataError, or FieldError for one without a recipe.
    """
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
