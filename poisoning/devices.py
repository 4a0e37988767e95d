"""What a process computes on, how exactly, and what to write down about it."""

import gc
import platform
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from poisoning.source import source
from poisoning.spec import FieldError, Precision

# What processors may have for it, the quickest first, and how people call that.
BF16 = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 bf16", "bf16": "Arm bf16"}


def pick(name: str) -> torch.device:
    """The device ``auto`` (the best there is), ``cpu``, ``cuda``, ``cuda:0``, ... or ``mps``.

    Raises FieldError (field ``device``) where this machine has none such.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise FieldError(
            "device", f"{name!r} cannot be used here ({reason}); try 'auto'"
        ) from error
    return device


def configure(precision: Precision, threads: int | None = None) -> None:
    """Set this process up: threads, and whether GPUs may round to TF32 or vary between runs."""
    if threads is not None:
        torch.set_num_threads(threads)
    is_fast = precision == "fast"
    torch.backends.cuda.matmul.allow_tf32 = is_fast
    torch.backends.cudnn.allow_tf32 = is_fast
    torch.backends.cudnn.deterministic = not is_fast
    torch.backends.cudnn.benchmark = is_fast


def free(device: torch.device) -> None:
    """Give back what the allocator holds and nothing uses."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """bfloat16 where precision is ``fast`` and the device computes in it; else no change.

    A processor without bf16 instructions emulates them, three times slower than fp32; there, fast
    is fp32.
    """
    enabled = precision == "fast" and has_bf16(device.type)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


@lru_cache
def has_bf16(device_type: str) -> bool:
    """Whether bfloat16 is faster than float32 there."""
    if device_type != "cpu":
        return True
    found = torch.cpu.get_capabilities()
    return any(found.get(name) for name in BF16)


def kind(device: torch.device) -> str:
    """What fast precision is the same on: the GPU's name, or what a processor does bf16 with."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    found = torch.cpu.get_capabilities()
    has = next((name for name in BF16 if found.get(name)), None)
    return f"processor with {BF16[has]}" if has else "processor without bf16"


def hardware(device: torch.device) -> str:
    """The device in words: the GPU's name, or the processor's and the threads in use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} threads"


def computes(device: torch.device, precision: Precision) -> str:
    """What a precision comes to on this device, in words."""
    if precision == "exact" or not has_bf16(device.type):
        return "float32"
    return "bfloat16 by autocast" + (", TF32 elsewhere" if device.type == "cuda" else "")


def versions() -> dict[str, str]:
    """The versions of what computes."""
    found = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }
    return found | ({"cuda": str(torch.version.cuda)} if torch.cuda.is_available() else {})


def provenance(device: torch.device) -> dict[str, Any]:
    """What to write down with every result of this process."""
    return {
        "program": asdict(source()),
        "hardware": hardware(device),
        "device": str(device),
        "kind": kind(device),
        "threads": torch.get_num_threads(),
        "has_bf16": has_bf16(device.type),
        "versions": versions(),
    }


@dataclass(frozen=True)
class Spent:
    """Seconds that something took: by the clock, and of the device (None: it cannot tell).

    A processor's are the time of all threads of this process. A GPU's lie between two marks on
    its stream, so that what it waited for this process counts too.
    """

    seconds: float
    device_seconds: float | None


class Stopwatch:
    """Runs from the moment it is made."""

    def __init__(self, device: torch.device) -> None:
        self._wall, self._processor = time.monotonic(), time.process_time()
        self._kind, self._mark = device.type, _mark(device)

    def spent(self, trials: int = 1) -> Spent:
        """What each of so many trials took that were worked on together."""
        on_device = self._on_device()
        each = None if on_device is None else on_device / trials
        return Spent((time.monotonic() - self._wall) / trials, each)

    def _on_device(self) -> float | None:
        if self._mark is not None:
            now = torch.cuda.Event(enable_timing=True)
            now.record()
            now.synchronize()
            return float(self._mark.elapsed_time(now)) / 1000
        return time.process_time() - self._processor if self._kind == "cpu" else None


def _mark(device: torch.device) -> torch.cuda.Event | None:
    if device.type != "cuda":
        return None
    mark = torch.cuda.Event(enable_timing=True)
    mark.record()
    return mark


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [
                line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
