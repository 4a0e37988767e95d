"""Checkpoints as files: tensors in safetensors, and beside them a card in JSON that says what,
how and how well. Nothing here can execute code on loading.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from poisoning import catalog
from poisoning.card import Card
from poisoning.models import build
from poisoning.models.network import Network


class CheckpointError(Exception):
    """A checkpoint that cannot be used; ``field`` and ``remedy`` speak to who named it."""

    def __init__(self, message: str, remedy: str, field: str = "checkpoint") -> None:
        self.message, self.remedy, self.field = message, remedy, field
        super().__init__(f"{message}; {remedy}")


def card_path(path: Path) -> Path:
    return path.with_suffix(".json")


def content_hash(path: Path) -> str:
    """sha256, in hex, of the tensor file: the checkpoint's identity."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save(
    path: Path,
    net: Network,
    card: Card,
    dtype: torch.dtype | None = None,
    metadata: dict[str, str] | None = None,
) -> Card:
    """Write ``path`` (.safetensors) and its card; returns the card with its hash.

    ``dtype`` stores floating-point tensors in half precision, where the file is to be small.
    ``metadata`` is written into the file, and so is part of what its hash is of.
    Both files appear whole or not at all; the card comes last.
    """
    tensors = {name: _stored(tensor, dtype) for name, tensor in net.state_dict().items()}
    write_tensors(path, tensors, metadata)
    card = card.model_copy(update={"sha256": content_hash(path)})
    partial = card_path(path).with_suffix(".json.part")
    partial.write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    partial.replace(card_path(path))
    return card


def _stored(tensor: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor


def write_tensors(
    path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(path.suffix + ".part")
    save_file(tensors, partial, metadata)
    partial.replace(path)


def load(path: str | Path) -> tuple[Network, Card]:
    """A stored network (float32, CPU, eval mode) and its card.

    Raises CheckpointError where a file is missing, was changed since it was saved, or does not
    fit the architecture its card names.
    """
    path = Path(path)
    card = read_card(path)
    if content_hash(path) != card.sha256:
        raise CheckpointError(
            f"{path} is not the file its card describes", "fetch or train it anew"
        )
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is not a safetensors file ({error})", "train it anew"
        ) from None
    try:
        net = build(card.model, card.num_classes, card.image_size, seed=0)
    except catalog.UnknownName as error:
        raise CheckpointError(f"{path}: {error}", "correct its card") from None
    fill(net, tensors, str(path))
    return net.eval(), card


def read_card(path: str | Path) -> Card:
    """The card beside a checkpoint; CheckpointError where either file is missing or unreadable."""
    path = Path(path)
    for file in (path, card_path(path)):
        if not file.is_file():
            raise CheckpointError(
                f"there is no file {file}", "train or import the checkpoint first"
            )
    try:
        return Card.model_validate_json(card_path(path).read_bytes())
    except ValidationError as error:
        reasons = "; ".join(f"{_dotted(e['loc'])}: {e['msg']}" for e in error.errors()[:3])
        raise CheckpointError(f"{card_path(path)} is no card ({reasons})", "correct it") from None


def _dotted(place: tuple[Any, ...]) -> str:
    return ".".join(map(str, place)) or "the whole"


@dataclass(frozen=True)
class Misfit:
    """How some tensors differ from those of a network; ``misshapen`` says both shapes."""

    missing: tuple[str, ...]
    foreign: tuple[str, ...]
    misshapen: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.missing) + len(self.foreign) + len(self.misshapen)

    def __str__(self) -> str:
        """The first few of each kind."""
        kinds = {
            "missing": self.missing,
            "not part of it": self.foreign,
            "of another shape": self.misshapen,
        }
        return "; ".join(f"{kind}: {_first(names)}" for kind, names in kinds.items() if names)


def _first(names: tuple[str, ...], n: int = 3) -> str:
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(names[:n]) + more


def misfit(net: Network, tensors: Mapping[str, torch.Tensor]) -> Misfit:
    """What keeps ``tensors`` from being those of ``net``; its length is 0 where nothing does."""
    wanted = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    return Misfit(
        missing=tuple(name for name in wanted if name not in shapes),
        foreign=tuple(name for name in shapes if name not in wanted),
        misshapen=tuple(
            f"{name} {shapes[name]} for {shape}"
            for name, shape in wanted.items()
            if shapes.get(name, shape) != shape
        ),
    )


def fill(net: Network, tensors: dict[str, torch.Tensor], where: str) -> None:
    """Put ``tensors`` into ``net``; CheckpointError names what is missing, foreign or misshapen."""
    found = misfit(net, tensors)
    if len(found):
        raise CheckpointError(
            f"{where} does not fit the architecture ({found})",
            "name the architecture and the number of classes it was trained as",
        )
    net.load_state_dict(tensors)
