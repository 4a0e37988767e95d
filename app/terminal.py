"""What the command line prints: tables, progress, complaints."""

import sys
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.client import ENDED, Client, Json

POLL_S = 1.0


def complain(message: str, errors: Iterable[Json]) -> NoReturn:
    """Say what is wrong on stderr, field by field, and end the program."""
    errors = list(errors)
    console = Console(stderr=True)
    if not errors:
        console.print(message, style="red", soft_wrap=True, markup=False)
    for error in errors:
        remedy = f"; {error['remedy']}" if error.get("remedy") else ""
        text = f"{error['field']}: {error['message']}{remedy}"
        console.print(text, style="red", soft_wrap=True, markup=False)
    sys.exit(1)


def follow(bench: Client, experiment_id: int, console: Console) -> None:
    """Progress bars until the experiment has ended, then its answer; exit 1 if it failed."""
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}"),
        TimeElapsedColumn(),
    )
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=True) as progress:
        while True:
            found = bench.get(experiment_id)
            for stage in found["stages"]:
                name = stage["name"]
                if name not in bars:
                    total = stage["total"]  # None cannot be drawn, and a thread draws at any time
                    bars[name] = progress.add_task(name, total=total, unit=stage["unit"])
                progress.update(
                    bars[name],
                    completed=stage["done"],
                    total=stage["total"],
                    unit=stage["unit"],
                )
            if found["state"] in ENDED:
                break
            time.sleep(POLL_S)
    console.print(found["answer"])
    if found["state"] != "done":
        raise typer.Exit(1)


def print_experiment(found: Json, console: Console) -> None:
    console.print(f"[bold]{found['id']}[/bold] {found['title']} ({found['state']})")
    console.print(found["answer"])
    for stage in found["stages"]:
        done = f"{stage['done']}/{stage['total']} {stage['unit']}"
        console.print(f"  {stage['name']:<9}{stage['state']:<9}{done}  {stage['detail']}")
    if found["victims"]:
        console.print(_victims(found["victims"]))


def _victims(victims: list[Json]) -> Table:
    table = Table("victim", "access", "fooled", "twins", "excess [95 %]", "clean accuracy")
    for victim in victims:
        table.add_row(
            victim["title"],
            victim["access"] or "",
            rate(victim["success"]),
            rate(victim["twin"]),
            excess(victim["excess"]),
            percent(victim["clean_accuracy"]),
        )
    return table


def experiments_table(rows: Iterable[Json]) -> Table:
    table = Table("id", "state", "title", "trials", "fooled")
    for row in rows:
        rates = ", ".join(rate(victim["success"]) for victim in row["victims"])
        done = f"{row['trials_done']}/{row['trials_total']}"
        table.add_row(str(row["id"]), row["state"], row["title"], done, rates)
    return table


def trials_table(rows: Iterable[Json]) -> Table:
    table = Table("trial", "state", "target", "base", "linf", "victim", "verdict", "twin")
    for row in rows:
        first = [
            str(row["number"]),
            row["state"],
            str(row["target_name"] or ""),
            str(row["base_name"] or ""),
            "" if row["linf_255"] is None else str(row["linf_255"]),
        ]
        for outcome in row["outcomes"] or [None]:
            table.add_row(*first, *_verdict(outcome))
            first = [""] * 5
    return table


def _verdict(outcome: Json | None) -> list[str]:
    if outcome is None:
        return ["", "", ""]
    verdict = "fooled" if outcome["success"] else f"says {outcome['prediction_name']}"
    twin = "fooled" if outcome["twin_success"] else f"says {outcome['twin_prediction_name']}"
    return [f"{outcome['title']}, {outcome['access']}", verdict, twin]


def checkpoints_table(rows: Iterable[Json]) -> Table:
    table = Table("name", "state", "model", "trained on", "clean accuracy")
    for row in rows:
        table.add_row(
            row["name"],
            row["state"],
            row["model_title"],
            row["dataset_title"],
            percent(row["clean_accuracy"]),
        )
    return table


def print_board(board: Json, console: Console) -> None:
    """One leaderboard: what it says in words, then the table."""
    console.print(f"\n[bold]{board['title']}[/bold]  {board['protocol']}")
    console.print(board["answer"])
    table = Table("attack", "budget")
    for column in board["columns"]:
        table.add_column(f"{column['title']}\n{column['subtitle']}", justify="right")
    for row in board["rows"]:
        cells = [_cell(cell) for cell in row["cells"]]
        table.add_row(row["title"], row["budget"], *cells)
    console.print(table)


def _cell(cell: Json | None) -> str:
    if cell is None:
        return "–"
    lines = [
        rate(cell["success"]),
        f"twins {rate(cell['twin'])}",
        f"clean {percent(cell['clean_accuracy'])}",
    ]
    if cell["rank"] is not None:
        lines.insert(0, f"rank {cell['rank']}")
    if cell["published"]:
        lines.append(f"published {cell['published']['percent']:g} %")
    return "\n".join(lines)


def rate(value: Json | None) -> str:
    """ "85.0 % ± 11.2 (n = 20)" """
    if value is None:
        return "–"
    error = f"{100 * value['standard_error']:.1f}{mark(value)}"
    return f"{percent(value['rate'])} ± {error} (n = {value['n']})"


def mark(value: Json) -> str:
    """What follows where the interval is a confidence sequence."""
    return "*" if value.get("interval") == "confidence_sequence" else ""


def excess(value: Json | None) -> str:
    if value is None:
        return "–"
    low, high = 100 * value["low"], 100 * value["high"]
    return f"{100 * value['value']:+.1f} [{low:+.1f}, {high:+.1f}]{mark(value)}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def moment(value: datetime | None) -> str:
    return value.strftime("%Y-%m-%d %H:%M") if value else ""


def duration(seconds: Any) -> str:
    """ "45 s", "12 min", "3.5 h" """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
