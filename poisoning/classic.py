"""Poison sets in the benchmark's classic form, a folder of pickles: read inertly, and written.

    poisons.pickle       [(PIL image, label), ...]
    base_indices.pickle  the base images' places in the train split, an array or a list
    target.pickle        (PIL image, label); of a backdoor (PIL image, label, patch, [x, y]): the
                         patch [C, P, P] in [0, 1] is pasted at column x, row y when the target is
                         judged; in old sets the PIL image alone

The form does not say which test image the target is, so that is looked for. Nothing in such a file
is ever executed (``inert_pickle``). No torch in here.
"""

import math
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from poisoning import inert_pickle, inert_tensor
from poisoning.events import Setup
from poisoning.inert_pickle import Call, Global, PickleRefused
from poisoning.poison_set import Labels, Pixels, PoisonSet, PoisonSetError

POISONS, BASE_INDICES, TARGET = "poisons.pickle", "base_indices.pickle", "target.pickle"
CHANNELS = {"RGB": 3, "L": 1}  # of an image's mode
TRUNCATION_255 = 1  # what writers lost who truncated a pixel where they should have rounded it

T = TypeVar("T")
Patch = tuple[Pixels, tuple[int, int]]  # [C, P, P] and (row, column)


@dataclass(frozen=True)
class Images:
    """A data set's splits, as a classic poison set counts on them."""

    train: Pixels  # [N, C, H, W]
    test: Pixels
    test_labels: Labels


@dataclass(frozen=True)
class Target:
    """What target.pickle says."""

    image: Pixels  # [C, H, W], without the patch
    label: int | None
    patch: Patch | None


def read(folder: str | Path, images: Images) -> PoisonSet:
    """The poison set of a folder. Its target becomes the test image it was made from.

    Raises PoisonSetError, which names the file or the field.
    """
    folder = Path(folder)
    pixels, labels = _read(folder / POISONS, _poisons)
    base_indices = _read(folder / BASE_INDICES, _numbers)
    target = _read(folder / TARGET, _target)
    target_index = _test_image(target.image, images.test)
    target_label = int(images.test_labels[target_index])
    if target.label not in (None, target_label):
        raise PoisonSetError(
            "target_label", f"is {target.label}; test image {target_index} is a {target_label}"
        )
    if len(base_indices) != len(pixels):
        raise PoisonSetError("base_indices", "not one per poison")
    if ((base_indices < 0) | (base_indices >= len(images.train))).any():
        raise PoisonSetError("base_indices", f"are not among {len(images.train)} training images")
    patch, place = target.patch or (None, None)
    return PoisonSet(
        poisons=pixels,
        labels=labels,
        base_indices=base_indices,
        target=images.test[target_index][None],
        target_label=target_label,
        target_index=target_index,
        base_class=int(labels[0]),
        bases=images.train[base_indices],
        trigger=patch,
        trigger_place=place,
    )


def write(poison_set: PoisonSet, folder: str | Path) -> Path:
    """Write a set in the classic form; the folder. Of a target's views only the first is kept."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pairs = zip(poison_set.poisons, poison_set.labels.tolist(), strict=True)
    target: tuple[Any, ...] = (_to_pil(poison_set.target[0]), poison_set.target_label)
    if poison_set.trigger is not None and poison_set.trigger_place is not None:
        row, column = poison_set.trigger_place
        target += (poison_set.trigger.astype(np.float32) / 255, [column, row])
    contents = {
        POISONS: [(_to_pil(image), label) for image, label in pairs],
        BASE_INDICES: poison_set.base_indices,
        TARGET: target,
    }
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content, protocol=4))
    return folder


def matching(poison_set: PoisonSet, setups: Sequence[Setup]) -> int | None:
    """Which of a benchmark's setups a set was made for; None where it is none of them."""
    for index, setup in enumerate(setups):
        if (
            setup.target_index == poison_set.target_index
            and setup.base_class == poison_set.base_class
            and np.array_equal(setup.base_indices, poison_set.base_indices)
        ):
            return index
    return None


def _test_image(image: Pixels, test: Pixels) -> int:
    """The place of the target in the test split [N, C, H, W], up to truncation."""
    if image.shape != test.shape[1:]:
        raise PoisonSetError("target", f"is {image.shape}, the data set's are {test.shape[1:]}")
    best, nearest = -1, math.inf
    for start in range(0, len(test), 1000):
        change = np.abs(test[start : start + 1000].astype(np.int16) - image)
        within = np.flatnonzero(change.max((1, 2, 3)) <= TRUNCATION_255)
        for index in within:
            distance = int(change[index].sum())
            if distance < nearest:
                best, nearest = start + int(index), distance
    if best < 0:
        raise PoisonSetError("target", "is no image of the test split")
    return best


def _to_pil(image: Pixels) -> Image.Image:
    """[C, H, W] to a PIL image."""
    return Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0).copy())


# --- what the pickles hold --------------------------------------------------------------------


def _read(path: Path, parse: Callable[[Any], T]) -> T:
    try:
        if path.stat().st_size > inert_pickle.LARGEST_FILE:
            raise PickleRefused("is too large")
        return parse(inert_pickle.read(path.read_bytes()))
    except OSError as error:
        raise PoisonSetError(path.name, f"cannot be read ({error.strerror})") from None
    except PickleRefused as error:
        raise PoisonSetError(path.name, str(error)) from None


def _poisons(node: Any) -> tuple[Pixels, Labels]:
    """[J, C, H, W] and [J] of a list of pairs."""
    if not isinstance(node, list) or not node:
        raise PickleRefused("a list of poisons was expected")
    images, labels = [], []
    for entry in node:
        if not isinstance(entry, tuple) or len(entry) != 2:
            raise PickleRefused("a poison is not (image, label)")
        images.append(_image(entry[0]))
        labels.append(_number(entry[1]))
    if len({image.shape for image in images}) != 1:
        raise PickleRefused("the poisons differ in size")
    return np.stack(images), np.array(labels, dtype=np.int64)


def _target(node: Any) -> Target:
    match node:
        case Call():
            return Target(_image(node), None, None)
        case (image, label):
            return Target(_image(image), _number(label), None)
        case (image, label, patch, (x, y) | [x, y]):
            place = (_number(y), _number(x))
            return Target(_image(image), _number(label), (_patch(patch), place))
    raise PickleRefused("a target was expected: (image, label) or (image, label, patch, [x, y])")


def _image(node: Any) -> Pixels:
    """[C, H, W] of a pickled PIL image: its state is [info, mode, size, palette, bytes, ...]."""
    match node:
        case Call(Global(module, _), (), [_, str(mode), (int(width), int(height)), _, raw, *_]) if (
            module.split(".")[0] == "PIL" and mode in CHANNELS
        ):
            content, shape = inert_pickle.as_bytes(raw), (height, width, CHANNELS[mode])
            if min(shape) > 0 and len(content) == math.prod(shape):
                pixels = np.frombuffer(content, np.uint8).reshape(shape)
                return np.ascontiguousarray(pixels.transpose(2, 0, 1))
    raise PickleRefused("an RGB or grey PIL image was expected, and something else is there")


def _patch(node: Any) -> Pixels:
    """[C, P, P], rounded to whole steps of 1/255, of a numpy array or a tensor in [0, 1]."""
    values = inert_tensor.as_array(node)
    if values.dtype.kind != "f" or values.ndim != 3:
        raise PickleRefused("the patch is not [C, P, P] of numbers in [0, 1]")
    if not ((values >= 0) & (values <= 1)).all():
        raise PickleRefused("the patch has values outside of [0, 1]")
    return np.rint(values * 255).astype(np.uint8)


def _numbers(node: Any) -> Labels:
    """int64 [J] of an array or a list of whole numbers."""
    if isinstance(node, list):
        return np.array([_number(entry) for entry in node], dtype=np.int64)
    array = inert_tensor.as_array(node)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise PickleRefused("whole numbers were expected, and something else is there")
    return array.astype(np.int64)


def _number(node: Any) -> int:
    array = inert_tensor.as_array(node)
    if array.dtype.kind not in "iu" or array.ndim != 0 or abs(int(array)) >= 2**63:
        raise PickleRefused("a whole number was expected, and something else is there")
    return int(array)
