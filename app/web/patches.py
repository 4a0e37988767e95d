"""The trigger of a backdoor, drawn small: where it lies on the image, and its very pixels."""

import io
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

import numpy as np
from fastapi import APIRouter, Query, Response
from PIL import Image
from pydantic import Field as KnobField
from pydantic import ValidationError

from app.web.forms import Field, nest
from app.web.images import FOR_EVER
from poisoning import patterns
from poisoning.params import Triggered

router = APIRouter()
SEEDS = 2**31  # as a spec allows


class Asked(Triggered):
    """A trigger and the root seed whose colours it has."""

    seed: int = KnobField(0, ge=0, lt=SEEDS)


@dataclass(frozen=True)
class Patch:
    """A trigger on an image of ``side`` px; ``corner`` is the x and y of its upper left pixel."""

    side: int
    size: int
    corner: int
    pattern: str
    seed: int

    @property
    def address(self) -> str:
        asked = {"pattern": self.pattern, "patch_size": self.size, "seed": self.seed}
        return f"/trigger.png?{urlencode(asked)}"

    @property
    def words(self) -> str:
        colours = f" in the colours of seed {self.seed}" if self.pattern == "random" else ""
        size = f"{self.size} × {self.size} px"
        return f"{self.pattern}, {size}{colours}, on an image of {self.side} px"


def draw(model: type[Triggered], knobs: list[Field], side: int, seed: str) -> Patch | None:
    """The trigger these knobs and this seed describe; None while they describe none that fits."""
    try:
        trigger = model.model_validate(nest(knobs)["attack"])
    except ValidationError:
        return None
    corner = side - trigger.inset - trigger.patch_size
    typed = seed.strip()
    is_seed = typed.isascii() and typed.isdigit() and int(typed[:20]) < SEEDS
    if corner < 0 or not is_seed:
        return None
    return Patch(side, trigger.patch_size, corner, trigger.pattern, int(typed))


@router.get("/trigger.png")
def picture(asked: Annotated[Asked, Query()]) -> Response:
    """The trigger's pixels, as a worker pastes them."""
    pixels = patterns.draw(asked.pattern, asked.patch_size, asked.seed)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(buffer, "PNG")
    return Response(buffer.getvalue(), media_type="image/png", headers=FOR_EVER)
