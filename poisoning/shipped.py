"""Checkpoints that come with the project, trained by its own command: no job has to train them.

They lie in ``poisoning/checkpoints`` in half precision, each with its card, whose clean accuracy is
that of the stored file. ``python -m poisoning ship`` (poisoning.models.shipping) puts them there.
No torch in here.
"""

from pathlib import Path

from poisoning.card import Card
from poisoning.spec import PretrainSpec

FOLDER = Path(__file__).parent / "checkpoints"


def find(name: str, spec: PretrainSpec) -> Path | None:
    """The file of the checkpoint of that name and recipe; None where it does not come with us."""
    path = FOLDER / f"{name}.safetensors"
    try:
        card = Card.model_validate_json(path.with_suffix(".json").read_bytes())
    except FileNotFoundError:
        return None
    return path if card.recipe == spec else None


HEADER = ("checkpoint", "file", "clean, of 10,000 test images", "recipe", "trained on")


def table() -> list[tuple[str, ...]]:
    """What comes with us, a line each under HEADER, read off the cards."""
    paths = sorted(FOLDER.glob("*.json"))
    return [_line(Card.model_validate_json(path.read_bytes())) for path in paths]


def _line(card: Card) -> tuple[str, ...]:
    recipe, size = card.recipe, (FOLDER / f"{card.name}.safetensors").stat().st_size
    assert recipe is not None and card.seconds is not None  # ours have both
    sizes = f", images of {', '.join(map(str, recipe.sizes))} px" if recipe.sizes else ""
    steps = f"{recipe.epochs} epochs{sizes}, batch {recipe.batch_size}"
    rate = f"rate {recipe.learning_rate:g} ({recipe.schedule.replace('_', ' ')})"
    return (
        f"`{card.name}`",
        f"{size / 1e6:.1f} MB",
        f"{100 * card.clean_accuracy:.2f} %",
        f"{steps}, {rate}, seed {recipe.seed}, {recipe.precision}",
        f"{card.hardware}, {card.seconds / 60:.0f} min",
    )


def markdown() -> str:
    """The same as a table in Markdown."""
    from poisoning.tables import markdown_lines  # with statistics, which a training does without

    return "\n".join(markdown_lines(HEADER, table()))


if __name__ == "__main__":
    print(markdown())
