"""What this machine has: cores, memory, GPUs. Asked without torch."""

import os
from pathlib import Path

GPU_FILES = ("nvidia[0-9]*", "kfd", "dxg")  # below /dev: NVIDIA, AMD, Windows' own under WSL
JOB_MIB = 2048  # what a job may be expected to take; the demonstration's take a quarter


def cores() -> int:
    """Of those this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def nvidia_gpus() -> int:
    return len(list(Path("/dev").glob(GPU_FILES[0])))


def has_gpu() -> bool:
    return any(any(Path("/dev").glob(pattern)) for pattern in GPU_FILES)


def available_mib() -> float:
    """Memory that nobody uses; where that is not told, all there is."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) / 1024
    except OSError:
        pass  # not Linux: all of the machine's memory is the next best figure
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20


def jobs_at_once(device: str, threads: int | None, memory_mib: int | None) -> int:
    """Two where a second job finds cores, memory and no GPU to share, else one.

    Small networks keep one core busy, however many they are given, and between jobs there are
    imports; so two jobs of half the cores each are done sooner than one after the other.
    """
    if device not in ("auto", "cpu") or (device == "auto" and has_gpu()):
        return 1
    has_cores = cores() >= 2 * (threads or 1)
    has_memory = (memory_mib or available_mib()) >= 2 * JOB_MIB
    return 2 if has_cores and has_memory else 1
