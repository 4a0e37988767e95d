"""Weights trained elsewhere: read as tensors only, renamed until they fit a network of ours."""

import io
import lzma
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors

from poisoning.models import build, store
from poisoning.models.network import Network
from poisoning.models.store import CheckpointError, Misfit
from poisoning.renames import AUTO, NAMINGS, Renames, renamed

LARGEST_FILE = 2**30  # bytes, after unpacking
REMEDY = "save its state_dict alone, with torch.save or as safetensors"
WRAPPERS = ("net", "state_dict", "model")  # keys under which training scripts put their weights
XZ_MAGIC = b"\xfd7zXZ\x00"
Tensors = Mapping[str, torch.Tensor]


def import_state_dict(
    path: Path, model: str, num_classes: int, image_size: int = 32, naming: str = AUTO
) -> Network:
    """A network in eval mode with the weights of a file of ``read_tensors``'s."""
    net = build(model, num_classes, image_size, seed=0)
    fit(net, read_tensors(path), path.name, naming)
    return net.eval()


def fit(net: Network, tensors: Tensors, title: str, naming: str = AUTO, own: Renames = ()) -> str:
    """Put foreign tensors into ``net``; the naming that fits, which is the first of all for
    'auto'. ``own`` rules come before the naming's. ``title`` is what the file is called.

    Raises CheckpointError; for 'auto' it says what the nearest naming leaves apart.
    """
    if naming not in (AUTO, *NAMINGS):
        known = ", ".join((AUTO, *NAMINGS))
        raise CheckpointError(f"there is no naming {naming!r}", f"known: {known}", "naming")
    faults: dict[str, Misfit] = {}
    for name in NAMINGS if naming == AUTO else (naming,):
        ours, twice = _under(tensors, (*own, *NAMINGS[name]))
        found = store.misfit(net, ours)
        if not len(found) and not twice:
            net.load_state_dict(ours)
            return name
        faults[name] = Misfit(found.missing, (*twice, *found.foreign), found.misshapen)
    nearest = min(faults, key=lambda name: len(faults[name]))
    which = f"with any naming; the nearest is {nearest}" if naming == AUTO else f"as {nearest}"
    raise CheckpointError(
        f"{title} does not fit the architecture {which}: {faults[nearest]}",
        "name the model and the data set it was trained as; other names of tensors are brought in "
        "line by renames, PATTERN=REPLACEMENT",
        "file" if naming == AUTO else "naming",
    )


def _under(tensors: Tensors, rules: Renames) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """The tensors by their new names; and of those that two would have, the old ones."""
    ours: dict[str, torch.Tensor] = {}
    twice = []
    for key, tensor in tensors.items():
        name = renamed(key, rules)
        if name in ours:
            twice.append(f"{key} (a second {name})")
        else:
            ours[name] = tensor
    return ours, tuple(twice)


# --- the file -----------------------------------------------------------------------------------


def read_tensors(path: Path, title: str | None = None) -> dict[str, torch.Tensor]:
    """The named tensors of a .pth, .pt or .safetensors file, or of one packed as .xz, known by
    its content. Pickled code is refused, and there is no other way in; nothing is executed.
    """
    title = title or path.name
    content = _unpacked(path, title)
    if _is_safetensors(content, title):
        try:
            return load_safetensors(content)
        except SafetensorError as error:
            raise _refused(f"{title} is no safetensors file ({error})") from None
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # torch's parser of foreign bytes raises whatever it meets
        raise _refused(f"{title} holds more than tensors ({_reason(error)})") from None
    return _state_dict(loaded, title)


def _refused(message: str, remedy: str = REMEDY) -> CheckpointError:
    return CheckpointError(message, remedy, "file")


def _reason(error: Exception) -> str:
    """Why torch would not read it: what it asks for, without advice to read it anyway."""
    asked = re.search(r"GLOBAL (\S+)", str(error))
    if asked:
        return f"it asks for {asked.group(1)[:80]} to be run"
    said = str(error).strip().splitlines()
    return said[0][:200] if said and "weights_only" not in said[0] else type(error).__name__


def _unpacked(path: Path, title: str) -> bytes:
    """The file's bytes, unpacked if it is .xz, and never more than LARGEST_FILE of them."""
    try:
        with path.open("rb") as plain:
            is_packed = plain.read(len(XZ_MAGIC)) == XZ_MAGIC or title.endswith(".xz")
            plain.seek(0)
            with lzma.open(plain) if is_packed else plain as file:
                content = file.read(LARGEST_FILE + 1)
    except (OSError, lzma.LZMAError, EOFError) as error:
        raise _refused(f"{title} cannot be read ({error})", "check the path") from None
    if len(content) > LARGEST_FILE:
        raise _refused(f"{title} is larger than {LARGEST_FILE:,} bytes")
    return content


def _is_safetensors(content: bytes, title: str) -> bool:
    """By its name, or by how it begins: a header's length, then the header, which is JSON."""
    if title.removesuffix(".xz").endswith(".safetensors"):
        return True
    return content[8:9] == b"{" and int.from_bytes(content[:8], "little") < len(content)


def _state_dict(loaded: Any, title: str) -> dict[str, torch.Tensor]:
    for wrapper in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not loaded:
        raise _refused(f"{title} is no state dict")
    if not all(isinstance(k, str) and _is_plain(v) for k, v in loaded.items()):
        raise _refused(f"{title} holds more than named tensors")
    return loaded


def _is_plain(value: Any) -> bool:
    """A tensor of real numbers, all of them there."""
    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and not (value.is_quantized or value.is_complex() or value.is_meta)
    )
