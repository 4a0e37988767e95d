"""Read the classic benchmark's pickles without unpickling: what they would call stays a name.

The opcodes of a few plain values are interpreted here; every other one is refused. Nothing is
imported, no class is looked up and nothing is called, whatever the file says: a global becomes a
``Global`` and a call a ``Call``, which a converter below may recognise or not.
"""

import pickletools
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

LARGEST_FILE = 256 * 2**20  # bytes


class PickleRefused(ValueError):
    """A pickle that holds more than plain values, or is not one."""


@dataclass(frozen=True)
class Global:
    """A name the pickle wants imported."""

    module: str
    name: str


@dataclass(eq=False)
class Call:
    """Something the pickle wants called, and the state it wants set afterwards."""

    function: Any
    args: tuple[Any, ...]
    state: Any = None


@dataclass
class _Machine:
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def pop(self) -> Any:
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def tuple_of(self, size: int) -> None:
        items = tuple(self.stack[len(self.stack) - size :])
        if len(items) != size:
            raise IndexError("stack too short")
        del self.stack[len(self.stack) - size :]
        self.stack.append(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise TypeError("SETITEMS on what is no dict")
        target.update(zip(items[::2], items[1::2], strict=True))

    def append(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise TypeError("APPENDS on what is no list")
        self.stack[-1].extend(items)

    def call(self) -> None:
        args, function = self.pop(), self.pop()
        if not isinstance(function, Global) or not isinstance(args, tuple):
            raise TypeError("a call of what is no name")
        self.stack.append(Call(function, args))

    def build(self) -> None:
        state, target = self.pop(), self.stack[-1]
        if not isinstance(target, Call):
            raise TypeError("BUILD on what is no call")
        target.state = state


CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}


def read(content: bytes) -> Any:
    """The plain values of a pickle, with Global and Call where it names code.

    Raises PickleRefused for everything that needs more than that, is damaged or too large.
    """
    if len(content) > LARGEST_FILE:
        raise PickleRefused(f"{len(content):,} bytes are more than {LARGEST_FILE:,}")
    machine = _Machine()
    position = 0
    try:
        for opcode, argument, at in pickletools.genops(content):
            position = at or 0
            _execute(machine, opcode.name, argument)
        if len(machine.stack) != 1 or machine.marks:
            raise IndexError("the pickle ends with more than one value")
        if position + 1 != len(content):
            raise ValueError("something follows its end")
    except (ValueError, TypeError, IndexError, KeyError, RecursionError) as error:
        raise PickleRefused(f"at byte {position}: {error}") from None
    return machine.stack[0]


def _execute(machine: _Machine, opcode: str, argument: Any) -> None:
    stack, memo = machine.stack, machine.memo
    if opcode in LITERALS:
        stack.append(argument)
    elif opcode in CONSTANTS:
        stack.append(CONSTANTS[opcode])
    elif opcode in EMPTY:
        stack.append(EMPTY[opcode]())
    elif opcode in TUPLES:
        machine.tuple_of(TUPLES[opcode])
    elif opcode == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif opcode in ("BINPUT", "LONG_BINPUT"):
        memo[argument] = stack[-1]
    elif opcode in ("BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif opcode == "MARK":
        machine.marks.append(len(stack))
    elif opcode == "TUPLE":
        stack.append(tuple(machine.pop_to_mark()))
    elif opcode == "APPENDS":
        machine.append(machine.pop_to_mark())
    elif opcode == "APPEND":
        machine.append([machine.pop()])
    elif opcode == "SETITEMS":
        machine.set_items(machine.pop_to_mark())
    elif opcode == "SETITEM":
        machine.set_items([machine.pop(), machine.pop()][::-1])
    elif opcode == "GLOBAL":
        stack.append(Global(*argument.split(" ", 1)))
    elif opcode == "STACK_GLOBAL":
        name, module = machine.pop(), machine.pop()
        stack.append(Global(str(module), str(name)))
    elif opcode in ("REDUCE", "NEWOBJ"):
        machine.call()
    elif opcode == "BUILD":
        machine.build()
    elif opcode not in ("PROTO", "FRAME", "STOP"):
        raise ValueError(f"opcode {opcode} is not one of plain data")


# --- numpy ------------------------------------------------------------------------------------

_DTYPE = Global("numpy", "dtype")
_NDARRAY = Global("numpy", "ndarray")
_ENCODE = Global("_codecs", "encode")
_CORES = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERICS = ("numpy.core.numeric", "numpy._core.numeric")
_NUMBERS = {"i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "b1"}


def as_array(node: Any) -> np.ndarray:
    """The numpy array or scalar that ``node`` describes; PickleRefused where it is none."""
    match node:
        case bool() | int() | float():
            return np.asarray(node)
        case Call(Global(module, "scalar"), (dtype, raw)) if module in _CORES:
            return _from_bytes(raw, (), dtype, "C")
        case Call(Global(module, "_reconstruct"), (kind, _, _), (_, shape, dtype, order, raw)):
            if module in _CORES and kind == _NDARRAY:
                return _from_bytes(raw, shape, dtype, "F" if order is True else "C")
        case Call(Global(module, "_frombuffer"), (raw, dtype, shape, order)):  # protocol 5
            if module in _NUMERICS and order in ("C", "F"):
                return _from_bytes(raw, shape, dtype, order)
    raise PickleRefused("an array was expected, and something else is there")


def as_bytes(node: Any) -> bytes:
    """The bytes that ``node`` describes; PickleRefused where it is none."""
    match node:
        case bytes() | bytearray():
            return bytes(node)
        case Call(function, (str(text), "latin1")) if function == _ENCODE:  # protocol 2
            try:
                return text.encode("latin1")
            except UnicodeEncodeError:
                pass
    raise PickleRefused("bytes were expected, and something else is there")


def _dtype(node: Any) -> np.dtype:
    match node:
        case Call(function, (str(code), *_), (_, str(order), *_)):
            if function == _DTYPE and code in _NUMBERS and order in "<|":
                return np.dtype(code).newbyteorder("<")
    raise PickleRefused("an array holds something other than little-endian numbers")


def _from_bytes(raw: Any, shape: Any, dtype: Any, order: Literal["C", "F"]) -> np.ndarray:
    if not isinstance(shape, tuple) or not all(isinstance(side, int) for side in shape):
        raise PickleRefused("an array's shape is no shape")
    content = as_bytes(raw)
    if any(side < 0 for side in shape):
        raise PickleRefused("an array's shape is no shape")
    try:
        return np.frombuffer(content, _dtype(dtype)).reshape(shape, order=order).copy()
    except ValueError as error:
        raise PickleRefused(f"an array's bytes do not fit its shape ({error})") from None
