"""Pictures of poison sets, as PNG of the stored pixels: nothing is scaled, tinted or smoothed.

A poison set is named by the hash of its content, so a picture of it never changes.
"""

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import EllipsisType
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Response
from numpy.typing import NDArray
from PIL import Image
from starlette.responses import FileResponse

from app.api.doors import StoreOf
from app.errors import NotFound
from app.storage import NotStored, Store
from app.web import amplify
from poisoning import poison_set

router = APIRouter()
Kind = Literal["base", "poison", "difference", "target", "patched"]
Pixels = NDArray[np.uint8]
FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
ACROSS = 10  # poisons in a row of a sheet
MOST_ON_SHEET = 100  # poisons
Zoom = Annotated[int, Query(ge=1, le=4)]
Factor = Annotated[int | None, Query(ge=1, le=amplify.MOST)]


@dataclass(frozen=True)
class Pictures:
    """The images of one poison set, uint8 [J, C, H, W]; ``bases`` may be missing. ``patched`` are
    a backdoor's targets with the trigger on.
    """

    poisons: Pixels
    bases: Pixels | None
    targets: Pixels
    patched: Pixels | None = None
    factor: int = 1  # what differences are multiplied with, unless another is asked for

    @property
    def size(self) -> int:
        return int(self.poisons.shape[-1])


def find(store: Store, sha256: str) -> Pictures:
    """The images of a poison set; NotStored where it is not on this server, or broken."""
    try:
        return _load(store.path("poison_sets", sha256))
    except poison_set.PoisonSetError as error:
        raise NotStored(str(error)) from None


@lru_cache(maxsize=32)
def _load(path: Path) -> Pictures:
    stored = poison_set.load(path)
    patched, factor = _patched(stored), amplify.factor(_largest_change(stored))
    return Pictures(stored.poisons, stored.bases, stored.target, patched, factor)


def _largest_change(stored: poison_set.PoisonSet) -> int | None:
    """In steps of 1/255, outside of a trigger that the poisons carry: at full contrast, it would
    hide what changed beside it. Everywhere where nothing else changed.
    """
    if stored.bases is None:
        return None
    change = np.abs(stored.poisons.astype(np.int16) - stored.bases)
    outside = change.copy()
    if stored.trigger is not None and stored.trigger_place is not None:
        place = _place(stored.trigger, stored.trigger_place)
        if (stored.poisons[place] == stored.trigger).all():
            outside[place] = 0
    return int(outside.max(initial=0) or change.max(initial=0))


def _place(trigger: Pixels, corner: tuple[int, int]) -> tuple[EllipsisType, slice, slice]:
    (row, column), (height, width) = corner, trigger.shape[1:]
    return ..., slice(row, row + height), slice(column, column + width)


def _patched(stored: poison_set.PoisonSet) -> Pixels | None:
    """The targets with the trigger at its place, as victims were asked about them."""
    if stored.trigger is None or stored.trigger_place is None:
        return None
    patched = stored.target.copy()
    patched[_place(stored.trigger, stored.trigger_place)] = stored.trigger
    return patched


@router.get("/poison-sets/{sha256}/{kind}/{index}.png")
def picture(store: StoreOf, sha256: str, kind: Kind, index: int, factor: Factor = None) -> Response:
    """``factor`` amplifies a difference; left out, that of its own set does."""
    try:
        pixels = _pixels(find(store, sha256), kind, index, factor)
    except (NotStored, IndexError):
        raise NotFound("there is no such image") from None
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(buffer, "PNG")
    return Response(buffer.getvalue(), media_type="image/png", headers=FOR_EVER)


@router.get("/poison-sets/{sha256}/gallery.png")
def gallery(store: StoreOf, sha256: str, zoom: Zoom = 2, factor: Factor = None) -> Response:
    """All in one picture: the target, then bases above poisons above what changed."""
    try:
        pixels = sheet(find(store, sha256), zoom, factor)
    except NotStored:
        raise NotFound("there is no such poison set on this server") from None
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    name = f"poison-set-{sha256[:12]}.png"
    headers = FOR_EVER | {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(buffer.getvalue(), media_type="image/png", headers=headers)


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


def sheet(pictures: Pictures, zoom: int, factor: int | None) -> Pixels:
    """The gallery on white, uint8 [H, W, 3], every stored pixel a square of ``zoom`` pixels."""
    kinds: list[Kind] = ["poison"] if pictures.bases is None else ["base", "poison", "difference"]
    aims: list[Kind] = ["target"] if pictures.patched is None else ["target", "patched"]
    rows = [[_pixels(pictures, kind, 0, factor) for kind in aims]]
    blocks = [1]  # rows that belong together
    count = min(len(pictures.poisons), MOST_ON_SHEET)
    for first in range(0, count, ACROSS):
        numbers = range(first, min(first + ACROSS, count))
        rows += [[_pixels(pictures, kind, j, factor) for j in numbers] for kind in kinds]
        blocks.append(len(kinds))
    side, gap = pictures.size * zoom, 2 * zoom
    wide = max(map(len, rows))
    height = len(rows) * (side + gap) + len(blocks) * 2 * gap + gap
    canvas = np.full((height, wide * (side + gap) + gap, 3), 255, np.uint8)
    top = gap
    for block in blocks:
        for row in rows[:block]:
            for at, tile in enumerate(row):
                left = gap + at * (side + gap)
                large = tile.transpose(1, 2, 0).repeat(zoom, 0).repeat(zoom, 1)
                canvas[top : top + side, left : left + side] = large
            top += side + gap
        del rows[:block]
        top += 2 * gap
    return canvas


def _pixels(pictures: Pictures, kind: Kind, index: int, factor: int | None) -> Pixels:
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
    return np.clip(amplify.GREY + (factor or pictures.factor) * change, 0, 255).astype(np.uint8)
