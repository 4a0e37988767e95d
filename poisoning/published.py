"""What others published: rates, bounds and directions, each with its source. No torch in here.

``NOTHING`` is a value too: nothing is on record. A value without n takes part in no test, because
its error is unknown. Percent, as printed.
"""

from dataclasses import dataclass
from typing import Literal

Label = Literal[
    "published", "quoted", "as reported, unverified", "no published value on record"
]  # fmt: skip
Direction = Literal["lower", "higher"]  # than the reference cell of the same table

PAPER = "Schwarzschild et al., Just How Toxic is Data Poisoning?, ICML 2021"
BENCHMARK = "the unified benchmark's own table, version of 2021-09"
REPORT = "a student reproduction of the paper (Surusani and Isaac)"
TRIALS = 100  # per rate, of both; of a mean of victims too, whose setups are the same


@dataclass(frozen=True)
class Published:
    """One statement. At most one of ``percent``, ``below`` and ``direction`` is what is compared,
    in this order; a percentage without ``n`` is only shown.
    """

    label: Label
    source: str = ""
    percent: float | None = None
    n: int | None = None
    below: float | None = None  # percent
    direction: Direction | None = None
    note: str = ""


NOTHING = Published("no published value on record")


def _baseline(percent: float) -> Published:
    return Published("published", f"{PAPER}: baselines", percent, TRIALS)


# In the attacks' original settings; the printed errors are those of 100 trials.
BASELINES = {
    "FC": _baseline(92),
    "CP": _baseline(88),
    "CLBD": _baseline(86),
    "HTBD": _baseline(69),
}


# --- directions, and what is quoted of the paper's section on sensitivity ----------------------


def _quoted(
    percent: float | None = None,
    below: float | None = None,
    direction: Direction | None = None,
    note: str = "",
) -> Published:
    return Published("quoted", f"{PAPER}, as quoted by {REPORT}", percent, None, below, direction,
                     note)  # fmt: skip


SGD = {
    "FC": _quoted(51, direction="lower", note="victims trained by SGD instead of Adam"),
    # a rate is quoted that no 100 trials can give, so that only its direction stands here
    "CP": _quoted(direction="lower", note="victims trained by SGD instead of Adam"),
}
HTBD_ON_RESNET18 = _quoted(18, direction="lower", note="victims are ResNet-18")
BLACK_BOX = {name: _quoted(below=20) for name in ("FC", "CP", "HTBD")}
FLIPPED = {"FC": _quoted(7, direction="lower", note="the target is flipped")}
LARGER_PATCH = _quoted(direction="higher", note="a larger patch, a higher rate")
SMALLER_PATCH = _quoted(direction="lower", note="a smaller patch, a lower rate")


# --- the unified benchmark ---------------------------------------------------------------------


def _benchmark(table: str, columns: tuple[str, ...], rows: dict[str, tuple[float, ...]]) -> dict[
    tuple[str, str], Published
]:  # fmt: skip
    source = f"{BENCHMARK}: {table}"
    return {
        (attack, column): Published("published", source, percent, TRIALS)
        for attack, rates in rows.items()
        for column, percent in zip(columns, rates, strict=True)
    }


WHITE, BLACK = "white box", "black box (mean of two)"
CIFAR10_TRANSFER = _benchmark(
    "CIFAR-10, transfer", (WHITE, BLACK),
    {
        "FC": (22, 7), "CP": (33, 7), "BP": (85, 8.5), "CLBD": (5, 6.5), "HTBD": (10, 9.5),
    },
)  # fmt: skip
SCRATCH_COLUMNS = ("ResNet-18", "MobileNetV2", "VGG11")
CIFAR10_FROM_SCRATCH = _benchmark(
    "CIFAR-10, from scratch", SCRATCH_COLUMNS,
    {
        "FC": (0, 1, 3), "CP": (0, 1, 1), "BP": (3, 3, 1), "WiB": (45, 25, 8), "CLBD": (0, 1, 2),
        "HTBD": (0, 4, 1),
    },
)  # fmt: skip
MEAN_OF_THREE = "mean of three"
_PRINTED_MEANS = {"FC": 1.33, "CP": 0.67, "BP": 2.33, "WiB": 26.0, "CLBD": 1.0}
CIFAR10_FROM_SCRATCH_MEANS = _benchmark(
    "CIFAR-10, from scratch", (MEAN_OF_THREE,),
    {name: (percent,) for name, percent in _PRINTED_MEANS.items()},
) | {
    ("HTBD", MEAN_OF_THREE): Published(
        "published", f"{BENCHMARK}: CIFAR-10, from scratch", 2.67, None,
        note="printed so; its own three rates have a mean of 1.67, so that it is not compared",
    )
}  # fmt: skip
TINYIMAGENET_TRANSFER = _benchmark(
    "Tiny ImageNet, transfer", (WHITE, BLACK),
    {
        "FC": (49, 32), "CP": (14, 1), "BP": (100, 10.5), "CLBD": (3, 1), "HTBD": (3, 0.5),
    },
)  # fmt: skip
TINYIMAGENET_FROM_SCRATCH = _benchmark(
    "Tiny ImageNet, from scratch", ("VGG16",),
    {"FC": (4,), "CP": (0,), "BP": (44,), "WiB": (32,), "CLBD": (0,), "HTBD": (0,)},
)  # fmt: skip


# --- the report's own measurements -------------------------------------------------------------


def _reported(percent: float) -> Published:
    note = "number of trials not stated; may be a clean accuracy"
    return Published("as reported, unverified", REPORT, percent, None, note=note)


REPORTED = {
    "FC": _reported(5.2),
    "CP": _reported(86.46),
    "CLBD": _reported(74.69),
    "HTBD": _reported(20.92),
}

TABLES: dict[str, dict[tuple[str, str], Published]] = {
    "cifar10_transfer": CIFAR10_TRANSFER,
    "cifar10_from_scratch": CIFAR10_FROM_SCRATCH | CIFAR10_FROM_SCRATCH_MEANS,
    "tinyimagenet_transfer": TINYIMAGENET_TRANSFER,
    "tinyimagenet_from_scratch": TINYIMAGENET_FROM_SCRATCH,
}
