"""Poison sets over REST: what is known of one, its file, its images."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from app.api import examples
from app.api.doors import DatabaseOf, StoreOf
from app.queries import poison_sets
from app.schemas import PoisonSetView
from app.web import images

router = APIRouter(tags=["poison sets"])
Sha256 = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="Hash of the stored file.")]
Index = Annotated[int, Path(ge=0, lt=2**31)]
PNG: dict[int | str, dict[str, object]] = {
    200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
}
FILE: dict[int | str, dict[str, object]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}
}


@router.get("/poison-sets/{sha256}", responses=examples.ok(examples.POISON_SET))
def read(sha256: Sha256, database: DatabaseOf) -> PoisonSetView:
    """How many poisons it holds and which trials it belongs to."""
    with database.read() as session:
        return poison_sets.get(session, sha256)


@router.get("/poison-sets/{sha256}/file", response_class=Response, responses={**FILE})
def file(sha256: Sha256, store: StoreOf) -> Response:
    """The set itself, as safetensors: uint8 images, labels, base indices, target."""
    return images.download(store, sha256)


@router.get(
    "/poison-sets/{sha256}/images/{kind}/{index}.png", response_class=Response, responses={**PNG}
)
def picture(sha256: Sha256, kind: images.Kind, index: Index, store: StoreOf) -> Response:
    """One image as PNG at its own size; a difference is amplified around grey."""
    return images.picture(store, sha256, kind, index)
