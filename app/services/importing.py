"""Checkpoints brought in: file and card as another Dosimeter wrote them, checked without torch.

What is checked: that the card is one of ours and fits the catalogue, and that the file is the one
it describes and holds nothing but tensors. Whether they fit the architecture is seen where they are
loaded, by the first job. The clean accuracy is the card's word, and is shown as that.
"""

import hashlib
import re
import shutil
import tempfile
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Conflict, Invalid, readable
from app.models import Checkpoint
from app.settings import Settings
from app.storage import Store
from poisoning import card as cards
from poisoning import catalog
from poisoning.recipes import RECIPES

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,119}")
LARGEST_CARD = 2**16  # bytes
FLOATS = {"F16", "BF16", "F32", "F64"}
IMPORTED = "imported"  # how the source of such a card begins


class Card(cards.Card):
    """A card from elsewhere: as ours, with bounds on what a page shows and a query compares."""

    dataset_md5: str = Field(pattern=r"^[0-9a-f]{32}$")
    clean_accuracy: float = Field(ge=0, le=1)
    test_images: int = Field(ge=1)
    robust_accuracy: float | None = Field(None, ge=0, le=1)
    source: str = Field("trained by Dosimeter", max_length=400)
    hardware: str | None = Field(None, max_length=400)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


def read_card(content: bytes) -> Card:
    """Invalid, with the field ``card``, where it is none or names what is not in the catalogue."""
    if len(content) > LARGEST_CARD:
        raise Invalid.field("card", "is too large to be a card", "choose the .json beside the file")
    try:
        card = Card.model_validate_json(content)
    except ValidationError as error:
        found = readable(error.errors())[:3]
        faults = "; ".join(f"{one.field or 'the whole'} {one.message}" for one in found)
        remedy = "choose the .json that was written with the file"
        raise Invalid.field("card", f"is no card: {faults}", remedy) from None
    try:
        dataset = catalog.dataset(card.dataset)
        model = catalog.model(card.model)
    except catalog.UnknownName as error:
        raise Invalid.field("card", str(error)) from None
    if card.num_classes != len(dataset.classes) or card.image_size != dataset.image_size:
        shape = f"{len(dataset.classes)} classes of {dataset.image_size} px"
        raise Invalid.field("card", f"does not fit {dataset.title}, which has {shape}")
    if model.image_size not in (None, card.image_size):
        raise Invalid.field("card", f"{model.title} takes images of {model.image_size} px only")
    return card


def bring_in(
    session: Session,
    store: Store,
    settings: Settings,
    name: str,
    card: Card,
    file: IO[bytes],
    now: datetime,
) -> Checkpoint:
    """A ready checkpoint of the file's tensors, under ``name`` or, where that is empty, the card's.

    Asking again with the same file is harmless. Invalid names the field ``name`` or ``file``;
    Conflict where the name, or the file, is that of another checkpoint.
    """
    name = name or card.name
    check_name(name)
    if name in RECIPES and RECIPES[name] != card.recipe:
        raise Conflict(f"{name!r} is the name of a recipe with another spec; choose another name")
    there = session.scalar(select(Checkpoint).where(Checkpoint.name == name).with_for_update())
    if there is not None and there.sha256 == card.sha256:
        return there
    if there is not None:
        raise Conflict(f"there is a checkpoint {name!r} already; choose another name")
    twin = session.scalar(select(Checkpoint.name).where(Checkpoint.sha256 == card.sha256))
    if twin is not None:
        raise Conflict(f"the same weights are here already, as {twin!r}")
    kept = _kept(name, card)
    with tempfile.TemporaryDirectory(dir=settings.work_dir, prefix="incoming-") as folder:
        path = Path(folder) / "checkpoint.safetensors"
        with path.open("wb") as target:
            shutil.copyfileobj(file, target)
        check_file(path, card)
        store.put("checkpoints", path, card=kept)
    row = Checkpoint(
        name=name,
        state="ready",
        spec=card.recipe.model_dump(mode="json") if card.recipe else None,
        model=card.model,
        dataset=card.dataset,
        sha256=card.sha256,
        clean_accuracy=card.clean_accuracy,
        card=kept,
        created_at=now,
        finished_at=now,
    )
    session.add(row)
    session.flush()
    return row


def check_name(name: str) -> None:
    """Invalid, with the field ``name``, where it is none."""
    if not name:
        raise Invalid.field("name", "is missing", "give it a name")
    if not NAME.fullmatch(name):
        rule = "small letters, digits, dots, dashes and underscores"
        raise Invalid.field("name", f"must be up to 120 {rule}")


def check_file(path: Path, card: Card) -> None:
    """Invalid, with the field ``file``, where it is not the card's or holds no floats."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != card.sha256:
        raise Invalid.field("file", "is not the one its card describes: its sha256 differs")
    try:
        with safe_open(path, framework="numpy") as tensors:
            kinds = {tensors.get_slice(name).get_dtype() for name in list(tensors.keys())}
    except SafetensorError as error:
        raise Invalid.field("file", f"is no safetensors file ({error})") from None
    if not kinds & FLOATS:
        raise Invalid.field("file", "holds no weights")


def _kept(name: str, card: Card) -> dict[str, Any]:
    """The card that is stored: under the name it has here, and with where it came from."""
    source = card.source
    if not source.startswith(IMPORTED):
        source = f"{IMPORTED}; its card says: {source}"
    return card.model_copy(update={"name": name, "source": source}).model_dump(mode="json")
