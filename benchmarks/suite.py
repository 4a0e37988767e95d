"""The whole suite: every comparison, what it was measured on, as one JSON document and a table."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks import crafting, growth, measure, parts, victims
from benchmarks.measure import Row, Skipped
from benchmarks.stage import CPU, SIZES, Stage
from poisoning import devices

GROUPS = {"crafting": crafting.cases, "parts": parts.cases, "victims": victims.cases}
Say = Callable[[str], None]


def run(
    size: str, data_dir: str | Path, only: tuple[str, ...] = (), say: Say = print
) -> dict[str, Any]:
    """Every comparison of the named groups (none named: of all), on one thread."""
    torch.set_num_threads(1)
    started, load_before = time.monotonic(), os.getloadavg()
    stage = Stage(SIZES[size], data_dir)
    rows, skipped, grown = [], [], []
    say(HEAD)
    for name, cases in GROUPS.items():
        if only and name not in only:
            continue
        for case in cases(stage):
            if isinstance(case, Skipped):
                skipped.append(case)
                say(f"| {case.name} | - | {_goal(case.goal)} | - | not run: {case.why} |")
                continue
            rows.append(measure.measure(case, stage.size.rounds))
            say(line(rows[-1]))
    if not only or "growth" in only:
        say(f"\nms per trial, poison, surrogate and step ({growth.NET})\n")
        for found in growth.measure(stage):
            grown.append(found)
            values = ", ".join(
                f"{n}: {ms:.2f}" for n, ms in zip(found.sizes, found.ms, strict=True)
            )
            say(f"{found.name} by {found.of}: {values}")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": devices.provenance(CPU)
        | {"cpus": os.cpu_count(), "load_before": load_before, "load_after": os.getloadavg()},
        "size": asdict(stage.size),
        "images": "stand-in noise" if stage.is_stand_in else stage.size.dataset,
        "seconds": round(time.monotonic() - started, 1),
        "rows": [asdict(row) | {"is_met": row.is_met} for row in rows],
        "skipped": [asdict(row) for row in skipped],
        "growth": [asdict(found) for found in grown],
    }


HEAD = (
    "| what | ratio (lowest to highest) | goal | ms, plain and ours | check |\n"
    "|---|---|---|---|---|"
)


def line(row: Row) -> str:
    """One row of the table, in Markdown."""
    verdict = "" if row.goal is None else (" met" if row.is_met else " missed")
    check = row.check if row.holds else f"DIFFERS: {row.check}"
    return (
        f"| {row.name} | {row.ratio:.2f} ({row.lowest:.2f} to {row.highest:.2f}) "
        f"| {_goal(row.goal)}{verdict} | {_ms(row.plain_ms)}, {_ms(row.ours_ms)} per {row.unit} "
        f"| {check}{f'; {row.note}' if row.note else ''} |"
    )


def _goal(goal: float | None) -> str:
    return "-" if goal is None else f"{goal:g}x"


def _ms(ms: float) -> str:
    return f"{ms:.3g}"
