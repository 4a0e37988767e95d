"""Checkpoints trained elsewhere: read as tensors only, renamed, judged, and stored as ours."""

import io
import lzma
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors

from poisoning import data
from poisoning.models import build, store
from poisoning.models.evaluate import clean_accuracy
from poisoning.models.network import Network
from poisoning.models.store import Card, CheckpointError
from poisoning.spec import Precision

LARGEST_FILE = 2**30  # bytes, after unpacking
REMEDY = "save its state_dict alone, with torch.save or as safetensors"
WRAPPERS = ("net", "state_dict", "model")  # keys under which training scripts put their weights

Renames = tuple[tuple[str, str], ...]  # regular expression, replacement

_RESNET_ENDS: Renames = ((r"^conv1\.", "stages.0.0."), (r"^bn1\.", "stages.0.1."))
NAMINGS: dict[str, Renames] = {
    "dosimeter": (),
    # conv1, bn1, layer1.0.conv1, ..., layer4.1.shortcut.0, linear
    "resnet_groups": (*_RESNET_ENDS, (r"^layer(\d+)\.(\d+)\.", r"stages.\1.\2.")),
    # conv1, bn1, layers.0.conv1, ..., layers.7.short.0, linear: ResNet-18's blocks in one row
    "resnet18_row": (
        *_RESNET_ENDS,
        *((rf"^layers\.{k}\.", f"stages.{k // 2 + 1}.{k % 2}.") for k in range(8)),
        (r"\.short\.", ".shortcut."),
    ),
}


def adopt(
    source: Path,
    target: Path,
    *,
    name: str,
    model: str,
    dataset: str,
    naming: str,
    data_dir: str | Path,
    precision: Precision = "exact",
) -> Card:
    """Take a foreign checkpoint over as ``target``, with its clean accuracy measured here.

    ``dataset`` is what it was trained on, normalised by the catalogue's constants. Raises
    CheckpointError, DataError or UnknownName.
    """
    images = data.load(dataset, data_dir)
    row = images.spec
    net = import_state_dict(source, model, len(row.classes), row.image_size, naming)
    card = Card(
        name=name,
        model=model,
        num_classes=len(row.classes),
        image_size=row.image_size,
        dataset=dataset,
        dataset_md5=images.md5,
        mean=row.mean,
        std=row.std,
        clean_accuracy=clean_accuracy(net, images.test, row.mean, row.std, precision),
        test_images=len(images.test),
        source=f"imported from {source.name}",
    )
    return store.save(target, net, card)


def import_state_dict(
    path: Path, model: str, num_classes: int, image_size: int = 32, naming: str = "dosimeter"
) -> Network:
    """A network in eval mode with the weights of a .pth, .pt or .safetensors file, or one
    of these packed as .xz, its names translated by one of NAMINGS. Never executes the file.
    """
    if naming not in NAMINGS:
        raise CheckpointError(f"there is no naming {naming!r}", f"known: {', '.join(NAMINGS)}")
    net = build(model, num_classes, image_size, seed=0)
    tensors = {_renamed(key, naming): value for key, value in read_tensors(path).items()}
    store.fill(net, tensors, path.name)
    return net.eval()


def _renamed(key: str, naming: str) -> str:
    key = key.removeprefix("module.")  # torch's DataParallel
    for pattern, replacement in NAMINGS[naming]:
        key = re.sub(pattern, replacement, key)
    return key


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The named tensors of a file. Pickled code is refused, and there is no other way in."""
    content = _unpacked(path)
    if path.with_suffix("").suffix == ".safetensors" or path.suffix == ".safetensors":
        try:
            return load_safetensors(content)
        except SafetensorError as error:
            raise CheckpointError(f"{path.name} is no safetensors file ({error})", REMEDY) from None
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch's parser of foreign bytes raises whatever it meets
        reason = str(error).strip().splitlines()[0][:200] if str(error) else type(error).__name__
        raise CheckpointError(f"{path.name} holds more than tensors ({reason})", REMEDY) from None
    return _state_dict(loaded, path)


def _unpacked(path: Path) -> bytes:
    """The file's bytes, unpacked if it is .xz, and never more than LARGEST_FILE of them."""
    try:
        with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except (OSError, lzma.LZMAError, EOFError) as error:
        raise CheckpointError(f"{path} cannot be read ({error})", "check the path") from None
    if len(content) > LARGEST_FILE:
        raise CheckpointError(f"{path.name} is larger than {LARGEST_FILE:,} bytes", REMEDY)
    return content


def _state_dict(loaded: Any, path: Path) -> dict[str, torch.Tensor]:
    for wrapper in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not loaded:
        raise CheckpointError(f"{path.name} is no state dict", REMEDY)
    if not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in loaded.items()):
        raise CheckpointError(f"{path.name} holds more than named tensors", REMEDY)
    return loaded
