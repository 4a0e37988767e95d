"""Tensors inside the classic benchmark's pickles, read without unpickling and without torch."""

import io
import math
import pickletools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poisoning import inert_pickle
from poisoning.inert_pickle import Call, Global, PickleRefused

_REBUILD = Global("torch._utils", "_rebuild_tensor_v2")
_STORAGE = Global("torch.storage", "_load_from_bytes")
_STORAGES = {  # as a pickled storage calls itself
    "torch FloatStorage": "<f4",
    "torch DoubleStorage": "<f8",
    "torch LongStorage": "<i8",
}
LARGEST_RANK = 8
_PICKLES_BEFORE_THE_NUMBERS = 5  # magic number, version, system, the storage's name, its key


def as_array(node: Any) -> NDArray[Any]:
    """The numpy array, scalar or tensor that ``node`` describes; PickleRefused where it is none."""
    match node:
        case Call(Global() as function, (Call(storage, (raw,)), offset, size, stride, *_)):
            if function == _REBUILD and storage == _STORAGE:
                return _view(_storage(inert_pickle.as_bytes(raw)), offset, size, stride)
    return inert_pickle.as_array(node)


def _view(flat: NDArray[Any], offset: Any, size: Any, stride: Any) -> NDArray[Any]:
    """Entry i, j, ... of a tensor lies at offset + i stride[0] + j stride[1] + ... of ``flat``."""
    is_size = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride)
    if not is_size or len(size) > LARGEST_RANK:
        raise PickleRefused("a tensor's size is no size")
    numbers = (offset, *size, *stride)
    if not all(isinstance(n, int) and 0 <= n <= len(flat) for n in numbers):
        raise PickleRefused("a tensor's size does not fit its storage")
    if not 0 < math.prod(size) <= len(flat):
        raise PickleRefused("a tensor's size does not fit its storage")
    steps = np.array(stride, dtype=np.int64).reshape(-1, *[1] * len(size))
    places = offset + (np.indices(size) * steps).sum(0)
    if places.max() >= len(flat):
        raise PickleRefused("a tensor reaches beyond its storage")
    found: NDArray[Any] = flat[places]
    return found


def _storage(content: bytes) -> NDArray[Any]:
    """The numbers of one storage as torch writes it into a plain pickle: five small pickles,
    looked at and never run, then a count, then the numbers.
    """
    stream = io.BytesIO(content)
    try:
        names = [
            argument
            for _ in range(_PICKLES_BEFORE_THE_NUMBERS)
            for opcode, argument, _ in pickletools.genops(stream)
            if opcode.name == "GLOBAL"
        ]
    except (ValueError, IndexError) as error:
        raise PickleRefused(f"a tensor's storage is damaged ({error})") from None
    count, numbers = int.from_bytes(stream.read(8), "little"), stream.read()
    if len(names) != 1 or names[0] not in _STORAGES:
        raise PickleRefused(f"a tensor of another kind than {', '.join(_STORAGES)}")
    dtype = np.dtype(_STORAGES[names[0]])
    if len(numbers) != count * dtype.itemsize:
        raise PickleRefused("a tensor's storage is cut short")
    return np.frombuffer(numbers, dtype)
