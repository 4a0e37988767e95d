"""The trigger of a backdoor, drawn small: where it lies on the image, and its pattern."""

from dataclasses import dataclass

from pydantic import ValidationError

from app.web.forms import Field, nest
from poisoning.params import Triggered

# white pixels (x, y) of the 2 x 2 tile a pattern repeats, as poisoning.ops.triggers makes it;
# without an entry its colours are drawn from the seed when it is run
TILES = {"checkerboard": ((0, 0), (1, 1)), "white": ((0, 0), (1, 0), (0, 1), (1, 1))}


@dataclass(frozen=True)
class Patch:
    """A trigger on an image of ``side`` px; ``corner`` is the x and y of its upper left pixel."""

    side: int
    size: int
    corner: int
    pattern: str

    @property
    def tile(self) -> tuple[tuple[int, int], ...] | None:
        return TILES.get(self.pattern)

    @property
    def words(self) -> str:
        colours = "" if self.tile else ", its colours drawn from the seed"
        size = f"{self.size} × {self.size} px"
        return f"{self.pattern}, {size}{colours}, on an image of {self.side} px"


def draw(model: type[Triggered], knobs: list[Field], side: int) -> Patch | None:
    """The trigger these knobs describe; None while they describe none that fits."""
    try:
        trigger = model.model_validate(nest(knobs)["attack"])
    except ValidationError:
        return None
    corner = side - trigger.inset - trigger.patch_size
    return Patch(side, trigger.patch_size, corner, trigger.pattern) if corner >= 0 else None
