"""What an attack's module says of itself, read from its source: the server imports no torch."""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import poisoning

ROOT = Path(poisoning.__file__).parent.parent


@dataclass(frozen=True)
class Paragraph:
    """Running text, or a formula whose lines stay as they are."""

    text: str
    is_formula: bool


@cache
def of_module(name: str) -> tuple[Paragraph, ...]:
    """The paragraphs of the docstring of ``poisoning.attacks.x``, but for its title; none where
    there is no such file.
    """
    path = ROOT.joinpath(*name.split(".")).with_suffix(".py")
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return ()
    blocks = (ast.get_docstring(tree) or "").split("\n\n")
    return tuple(_paragraph(block) for block in blocks[1:] if block.strip())


def _paragraph(block: str) -> Paragraph:
    lines = block.splitlines()
    if all(line.startswith("    ") for line in lines):
        return Paragraph("\n".join(line[4:] for line in lines), is_formula=True)
    return Paragraph(" ".join(line.strip() for line in lines), is_formula=False)
