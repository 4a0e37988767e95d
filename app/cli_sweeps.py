"""``dosimeter sweep``: how much it takes, on a running server."""

import time
from typing import Annotated

import typer
from rich.table import Table

from app import terminal
from app.cli_doors import Bearer, SpecFile, Url, bench, out, read_spec
from app.client import ENDED, Client, Json

sweep = typer.Typer(help="One field of an experiment at several values.", no_args_is_help=True)
Number = Annotated[int, typer.Argument(help="Id of the sweep.")]
POLL_S = 2.0


@sweep.command("run")
def run(
    spec: SpecFile,
    field: Annotated[str, typer.Option(help="data.poisons, data.train_size, attack.eps_255, ...")],
    values: Annotated[str, typer.Option(help="With commas between them: 1,2,5,10.")],
    budget: Annotated[
        int | None, typer.Option(help="Trials in all: go where the curve asks for it.")
    ] = None,
    title: Annotated[str, typer.Option(help="How it is called in lists.")] = "",
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = True,
    url: Url = None,
    bearer: Bearer = None,
) -> None:
    """Launch a sweep from a file and follow it to its end; with a budget an adaptive one."""
    numbers = _numbers(values)
    with bench(url, bearer) as client:
        launched = client.launch_sweep(read_spec(spec), field, numbers, budget, title)
        out.print(f"Sweep {launched['id']}: {launched['title']}")
        if wait:
            _follow(client, launched["id"])


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.replace(",", " ").split()]
    except ValueError as error:
        raise typer.BadParameter(f"--values: {error}; e.g. 1,2,5,10") from None


def _follow(client: Client, sweep_id: int) -> None:
    """Say when an experiment is launched or ends, until all have; then the answer."""
    said: dict[int, str] = {}
    while True:
        found = client.sweep(sweep_id)
        for rung in found["rungs"]:
            if said.get(rung["id"]) != rung["state"]:
                said[rung["id"]] = rung["state"]
                out.print(f"Experiment {rung['id']} {rung['state']}: {rung['title']}")
        if found["state"] in ENDED:
            break
        time.sleep(POLL_S)
    _print(found)
    if found["state"] != "done":
        raise typer.Exit(1)


@sweep.command("list")
def index(url: Url = None, bearer: Bearer = None) -> None:
    """Sweeps, the newest first."""
    table = Table("id", "state", "title", "trials", "answer")
    with bench(url, bearer) as client:
        for row in client.sweeps():
            done = f"{row['trials_done']}/{row['trials_total']}"
            table.add_row(str(row["id"]), row["state"], row["title"], done, row["answer"])
    out.print(table)


@sweep.command("show")
def show(number: Number, url: Url = None, bearer: Bearer = None) -> None:
    """One sweep: its points, and the dose half of the targets fall to."""
    with bench(url, bearer) as client:
        _print(client.sweep(number))


@sweep.command("cancel")
def cancel(number: Number, url: Url = None, bearer: Bearer = None) -> None:
    """Stop its experiments, and launch no further one; finished trials stay."""
    with bench(url, bearer) as client:
        out.print(f"Sweep {number} is {client.cancel_sweep(number)['state']}.")


@sweep.command("retry")
def retry(number: Number, url: Url = None, bearer: Bearer = None) -> None:
    """Queue what it has not done, and go on."""
    with bench(url, bearer) as client:
        out.print(f"Sweep {number} is {client.retry_sweep(number)['state']}.")


def _print(found: Json) -> None:
    out.print(f"[bold]{found['id']}[/bold] {found['title']} ({found['state']})")
    if found["error"]:
        out.print(f"Its next experiment could not be launched: {found['error']}")
    for victim in found["victims"]:
        out.print(f"{victim['title']}, {victim['access'] or 'not judged yet'}: {victim['answer']}")
        table = Table(found["field"], "fooled", "95 %", "twins", "experiments")
        for point in victim["points"]:
            low, high = (terminal.percent(point["success"][end]) for end in ("low", "high"))
            table.add_row(
                f"{point['value']:g}",
                terminal.rate(point["success"]),
                f"{low} to {high}",
                terminal.percent(point["twin"]["rate"]),
                ", ".join(map(str, point["experiment_ids"])),
            )
        if victim["points"]:
            out.print(table)
