"""Pictures of poison sets, as PNG of the stored pixels: nothing is scaled, tinted or smoothed.

A poison set is named by the hash of its content, so a picture of it never changes.
"""

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from fastapi import APIRouter, Response
from numpy.typing import NDArray
from PIL import Image
from starlette.responses import FileResponse

from app.api.doors import StoreOf
from app.errors import NotFound
from app.storage import NotStored, Store
from poisoning import poison_set

router = APIRouter()
Kind = Literal["base", "poison", "difference", "target", "patched"]
Pixels = NDArray[np.uint8]
FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
GREY = 128


@dataclass(frozen=True)
class Pictures:
    """The images of one poison set, uint8 [J, C, H, W]; ``bases`` may be missing. ``patched`` are
    a backdoor's targets with the trigger on.
    """

    poisons: Pixels
    bases: Pixels | None
    targets: Pixels
    patched: Pixels | None = None

    @property
    def size(self) -> int:
        return int(self.poisons.shape[-1])

    @property
    def factor(self) -> int:
        """What differences are multiplied with: the largest just fills the range around grey."""
        if self.bases is None:
            return 1
        largest = int(np.abs(self.poisons.astype(np.int16) - self.bases).max(initial=0))
        return max(1, (GREY - 1) // largest) if largest else 1


def find(store: Store, sha256: str) -> Pictures:
    """The images of a poison set; NotStored where it is not on this server, or broken."""
    try:
        return _load(store.path("poison_sets", sha256))
    except poison_set.PoisonSetError as error:
        raise NotStored(str(error)) from None


@lru_cache(maxsize=32)
def _load(path: Path) -> Pictures:
    stored = poison_set.load(path)
    return Pictures(stored.poisons, stored.bases, stored.target, _patched(stored))


def _patched(stored: poison_set.PoisonSet) -> Pixels | None:
    """The targets with the trigger at its place, as victims were asked about them."""
    if stored.trigger is None or stored.trigger_place is None:
        return None
    patched = stored.target.copy()
    (row, column), (height, width) = stored.trigger_place, stored.trigger.shape[1:]
    patched[..., row : row + height, column : column + width] = stored.trigger
    return patched


@router.get("/poison-sets/{sha256}/{kind}/{index}.png")
def picture(store: StoreOf, sha256: str, kind: Kind, index: int) -> Response:
    try:
        pixels = _pixels(find(store, sha256), kind, index)
    except (NotStored, IndexError):
        raise NotFound("there is no such image") from None
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(buffer, "PNG")
    return Response(buffer.getvalue(), media_type="image/png", headers=FOR_EVER)


@router.get("/poison-sets/{sha256}.safetensors")
def download(store: StoreOf, sha256: str) -> Response:
    try:
        path = store.path("poison_sets", sha256)
    except NotStored:
        raise NotFound("there is no such poison set on this server") from None
    return FileResponse(
        path,
        media_type="application/octet-stream",
        filename=f"poison-set-{sha256[:12]}.safetensors",
        headers=FOR_EVER,
    )


def _pixels(pictures: Pictures, kind: Kind, index: int) -> Pixels:
    """One image, uint8 [C, H, W]; IndexError where there is none."""
    if index < 0:
        raise IndexError(index)
    plain = {
        "target": pictures.targets,
        "patched": pictures.patched,
        "poison": pictures.poisons,
        "base": pictures.bases,
    }
    if kind in plain:
        stored = plain[kind]
        if stored is None:
            raise IndexError(index)
        return stored[index]
    if pictures.bases is None:
        raise IndexError(index)
    change = pictures.poisons[index].astype(np.int16) - pictures.bases[index]
    return np.clip(GREY + pictures.factor * change, 0, 255).astype(np.uint8)
