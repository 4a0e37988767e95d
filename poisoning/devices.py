"""What a process computes on, how exactly, and what to write down about it."""

import gc
import platform
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from poisoning.spec import FieldError, Precision


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
    return any(found.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def hardware(device: torch.device) -> str:
    """The device in words: the GPU's name, or the processor's and the threads in use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} threads"


def versions() -> dict[str, str]:
    """The versions of what computes."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def provenance(device: torch.device) -> dict[str, Any]:
    """What to write down with every result of this process."""
    return {
        "hardware": hardware(device),
        "device": str(device),
        "has_bf16": has_bf16(device.type),
        "versions": versions(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [
                line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
