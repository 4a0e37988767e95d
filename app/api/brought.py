"""A checkpoint that a form brings along: a file with its card, or weights trained elsewhere.

Read by hand, so that nobody who is not signed in gets a file read, and so described by hand.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile

from app.api import examples
from app.errors import FieldProblem, Invalid
from app.models import Checkpoint
from app.services import adopting, importing
from app.services.adopting import Upload
from app.settings import Settings
from app.storage import Store
from poisoning.spec import AdoptSpec

MAX_FIELDS = 100
ASKED = ("model", "dataset", "naming")  # one value each; of renames there may be several
KNOWN = ("file", "card", "name", *ASKED, "renames")
EXAMPLE = examples.CHECKPOINT | {
    "name": "theirs",
    "state": "queued",
    "model": "resnet18",
    "model_title": "ResNet-18",
    "dataset": "cifar100",
    "dataset_title": "CIFAR-100",
    "spec": {
        "model": "resnet18",
        "dataset": "cifar100",
        "naming": "auto",
        "renames": [],
        "filename": "theirs.pth",
        "sha256": "3f" * 32,
    },
    "is_foreign": True,
    "sha256": None,
    "clean_accuracy": None,
    "clean_images": None,
    "card": None,
    "seconds": None,
}


@dataclass(frozen=True)
class Files:
    """What a form brought: its files, and everything else by name as it was typed."""

    file: Upload | None
    card: bytes | None
    typed: Mapping[str, list[str]]

    def last(self, name: str) -> str:
        return self.typed.get(name, [""])[-1].strip()


async def _brought(request: Request) -> AsyncIterator[Files]:
    async with request.form(max_files=2, max_fields=MAX_FIELDS) as body:
        typed: dict[str, list[str]] = {}
        for name, value in body.multi_items():
            if isinstance(value, str):
                typed.setdefault(name, []).append(value)
        file, card = (_upload(body.get(name)) for name in ("file", "card"))
        yield Files(
            file=None if file is None else Upload(file.file, file.filename or ""),
            card=None if card is None else await card.read(),
            typed=typed,
        )


def _upload(part: object) -> UploadFile | None:
    return part if isinstance(part, UploadFile) and part.filename else None


Brought = Annotated[Files, Depends(_brought)]


def take_in(
    session: Session, store: Store, settings: Settings, brought: Files, now: datetime
) -> Checkpoint:
    """A checkpoint that is ready, where a card came along, else one that is queued.

    Raises Invalid, and Conflict, as the services of both do.
    """
    _refuse_unknown(brought)
    if brought.file is None:
        raise Invalid.field("file", "is missing", "send it as a part with a file name")
    if brought.card is None:
        return adopt(session, store, settings, brought, now)
    for name in (*ASKED, "renames"):
        if name in brought.typed:
            raise Invalid.field(name, "does not go with a card, which says it", "leave it out")
    card = importing.read_card(brought.card)
    name = brought.last("name")
    return importing.bring_in(session, store, settings, name, card, brought.file.file, now)


def adopt(
    session: Session, store: Store, settings: Settings, brought: Files, now: datetime
) -> Checkpoint:
    """Weights trained elsewhere, queued to be read. Invalid names the field."""
    if brought.file is None:
        raise Invalid.field("file", "is missing", "choose a .pth, .pt or .safetensors file")
    asked: dict[str, Any] = {name: brought.last(name) for name in ASKED}
    lines = "\n".join(brought.typed.get("renames", [])).splitlines()
    asked["renames"] = [line.strip() for line in lines if line.strip()]
    return adopting.adopt(session, store, settings, brought.last("name"), asked, brought.file, now)


def _refuse_unknown(brought: Files) -> None:
    unknown = sorted(set(brought.typed) - set(KNOWN))
    remedy = f"known: {', '.join(KNOWN)}"
    if unknown:
        raise Invalid(
            [
                FieldProblem(field=name[:80], message="there is no such field", remedy=remedy)
                for name in unknown
            ]
        )


def _described() -> dict[str, Any]:
    """The body of both forms, as OpenAPI has it."""
    part = {"type": "string", "format": "binary"}
    said = AdoptSpec.model_json_schema()["properties"]
    texts = {name: {"type": "string", "description": said[name]["description"]} for name in ASKED}
    renames = {
        "type": "array",
        "items": {"type": "string"},
        "description": said["renames"]["description"],
    }
    schema = {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": part | {"description": "Weights: .safetensors, .pth or .pt, also as .xz."},
            "card": part | {"description": "The card another Dosimeter wrote beside them."},
            "name": {"type": "string", "description": "Its name here; empty: the card's."},
            **texts,
            "renames": renames,
        },
    }
    elsewhere = {"file": "(binary)", "name": "theirs", "model": "resnet18", "dataset": "cifar100"}
    examples = {
        "with its card": {"value": {"file": "(binary)", "card": "(binary)"}},
        "trained elsewhere": {"value": elsewhere | {"naming": "auto"}},
    }
    content = {"multipart/form-data": {"schema": schema, "examples": examples}}
    return {"requestBody": {"required": True, "content": content}}


DESCRIBED = _described()
