"""What things are called. Specs are read as stored, so that old ones stay readable."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Checkpoint
from poisoning import catalog
from poisoning.spec import SAMPLED

REGIMES = {"frozen": "frozen", "end_to_end": "end to end", "from_scratch": "from scratch"}
DRAWN = "a network drawn per trial"
ACCESS = {"white_box": "white-box", "grey_box": "grey-box", "black_box": "black-box"}


def attack(name: str) -> str:
    row = catalog.ATTACKS.get(name)
    return row.title if row else name


def dataset(name: str) -> str:
    row = catalog.DATASETS.get(name)
    return row.title if row else name


def model(name: str) -> str:
    row = catalog.MODELS.get(name)
    return row.title if row else name


def class_name(dataset_name: str, number: int | None) -> str | None:
    """A class's name; its number where the data set is no longer known."""
    if number is None:
        return None
    row = catalog.DATASETS.get(dataset_name)
    return row.classes[number] if row and number < len(row.classes) else str(number)


def checkpoint_models(session: Session) -> dict[str, str]:
    """Checkpoint name -> name of its architecture."""
    return {
        name: model for name, model in session.execute(select(Checkpoint.name, Checkpoint.model))
    }


def victim_model(victim: dict[str, Any], models: dict[str, str]) -> str:
    return victim.get("model") or models.get(victim.get("checkpoint") or "", "")


def victim(victim: dict[str, Any], models: dict[str, str]) -> str:
    """ "ResNet-18, frozen" """
    name, checkpoint = victim_model(victim, models), victim.get("checkpoint") or "?"
    what = model(name) if name else DRAWN if checkpoint == SAMPLED else checkpoint
    return f"{what}, {REGIMES.get(victim['regime'], victim['regime'])}"
