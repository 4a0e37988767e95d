"""Poison sets as files: safetensors with a JSON manifest inside. No torch, and never a pickle.

One set holds what one trial put into the world: uint8 images, as they are trained on and judged.
The file's bytes follow from its content alone, so their sha256 names it.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
FORMAT = "dosimeter-poison-set/1"
ENTRY = "manifest"  # the one entry of the file's metadata; one, so that its bytes are determined
TENSORS = ("poisons", "labels", "base_indices", "target")
OPTIONAL = ("bases", "trigger")
NUMBERS = ("target_label", "target_index", "base_class")


class PoisonSetError(ValueError):
    """A poison set that is none; ``field`` names what is wrong with it."""

    def __init__(self, field: str, message: str) -> None:
        self.field, self.message = field, message
        super().__init__(f"{field}: {message}")


@dataclass(frozen=True)
class PoisonSet:
    """The poisons of one trial, and all that is needed to judge them. Validated when made."""

    poisons: Pixels  # [J, C, H, W]
    labels: Labels  # [J], all the base class
    base_indices: Labels  # [J], into the train split
    target: Pixels  # [V, C, H, W]
    target_label: int
    target_index: int  # into the test split
    base_class: int
    bases: Pixels | None = None  # [J, C, H, W]
    trigger: Pixels | None = None  # [C, P, P]
    trigger_place: tuple[int, int] | None = None  # (row, column) of its upper left corner
    manifest: dict[str, Any] = field(default_factory=dict)  # JSON: data set, attack, ...

    def __post_init__(self) -> None:
        _images("poisons", self.poisons, None)
        _images("target", self.target, self.poisons.shape[1:])
        if self.bases is not None:
            _images("bases", self.bases, self.poisons.shape[1:])
            _expect("bases", len(self.bases) == len(self.poisons), "not one per poison")
        for name in ("labels", "base_indices"):
            array = getattr(self, name)
            _expect(name, array.dtype == np.int64, f"is {array.dtype}, not int64")
            _expect(name, array.shape == (len(self.poisons),), "not one per poison")
            _expect(name, bool((array >= 0).all()), "has a negative entry")
        for name in NUMBERS:
            value = getattr(self, name)
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            _expect(name, is_whole and value >= 0, f"is {value!r}, not a whole number from 0 on")
        _expect("target_label", self.target_label != self.base_class, "is the base class")
        self._check_trigger()

    def _check_trigger(self) -> None:
        if self.trigger is None:
            _expect("trigger_place", self.trigger_place is None, "stands without a trigger")
            return
        _expect("trigger", self.trigger.dtype == np.uint8, f"is {self.trigger.dtype}, not uint8")
        _expect("trigger", self.trigger.ndim == 3, "is not [C, P, P]")
        place = self.trigger_place
        if place is None or len(place) != 2 or not all(type(p) is int for p in place):
            raise PoisonSetError("trigger_place", f"is {place!r}, not (row, column)")
        channels, height, width = self.poisons.shape[1:]
        is_inside = (
            self.trigger.shape[0] == channels
            and min(place) >= 0
            and place[0] + self.trigger.shape[1] <= height
            and place[1] + self.trigger.shape[2] <= width
        )
        _expect("trigger", is_inside, "does not fit into the image where it is placed")

    def to_bytes(self) -> bytes:
        """The file, byte by byte the same for the same content."""
        tensors = {name: getattr(self, name) for name in (*TENSORS, *OPTIONAL)}
        present = {k: np.ascontiguousarray(v) for k, v in tensors.items() if v is not None}
        head = {"format": FORMAT} | {name: getattr(self, name) for name in NUMBERS}
        head |= {"trigger_place": self.trigger_place, "manifest": self.manifest}
        text = json.dumps(head, sort_keys=True, separators=(",", ":"), allow_nan=False)
        data: bytes = to_bytes(present, {ENTRY: text})
        return data

    @property
    def content_hash(self) -> str:
        return hashlib.sha256(self.to_bytes()).hexdigest()


def save(poison_set: PoisonSet, folder: str | Path) -> Path:
    """Write ``<folder>/<content hash>.safetensors``, whole or not at all; its path."""
    data = poison_set.to_bytes()
    path = Path(folder) / f"{hashlib.sha256(data).hexdigest()}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_bytes(data)
    partial.replace(path)
    return path


def load(path: str | Path) -> PoisonSet:
    """Read a poison set. Raises PoisonSetError, which names the field, for whatever is not one."""
    try:
        with safe_open(path, "numpy") as file:
            names = set(file.keys())
            head = _head((file.metadata() or {}).get(ENTRY))
            for name in (*TENSORS, *sorted(names - {*TENSORS})):
                _expect(name, name in names, "is missing")
                _expect(name, name in (*TENSORS, *OPTIONAL), "is not part of a poison set")
                dtype = file.get_slice(name).get_dtype()
                _expect(name, dtype in ("U8", "I64"), f"is {dtype}, not whole numbers")
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise PoisonSetError("file", f"is no safetensors file ({error})") from None
    place = head.pop("trigger_place")
    return PoisonSet(**tensors, **head, trigger_place=None if place is None else tuple(place))


def _head(text: str | None) -> dict[str, Any]:
    """The numbers and the manifest beside the tensors."""
    try:
        head = json.loads(text or "")
    except ValueError:
        head = None
    if not isinstance(head, dict):
        raise PoisonSetError(ENTRY, "is missing or not JSON")
    found = head.pop("format", None)
    _expect("format", found == FORMAT, f"is {found!r}, not {FORMAT!r}")
    wanted = {*NUMBERS, "trigger_place", "manifest"}
    for name in sorted(wanted ^ head.keys()):
        _expect(name, name not in wanted, "is missing")
        raise PoisonSetError(name, "is not part of a poison set")
    _expect("manifest", isinstance(head["manifest"], dict), "is not an object")
    place = head["trigger_place"]
    _expect("trigger_place", place is None or isinstance(place, list), "is not a list")
    return head


def _images(name: str, array: Any, shape: tuple[int, ...] | None) -> None:
    _expect(name, array.dtype == np.uint8, f"is {array.dtype}, not uint8")
    _expect(name, array.ndim == 4, f"has {array.ndim} dimensions, not [N, C, H, W]")
    _expect(name, array.size > 0, "is empty")
    if shape is not None:
        _expect(name, array.shape[1:] == shape, f"images are {array.shape[1:]}, not {shape}")


def _expect(field: str, holds: bool, message: str) -> None:
    if not holds:
        raise PoisonSetError(field, message)
