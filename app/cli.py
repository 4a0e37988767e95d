"""``dosimeter``: runs the server and the worker, and drives a running server from a terminal."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from app import terminal
from app.cli_checkpoints import checkpoints
from app.cli_doors import Bearer, SpecFile, Url, out, read_spec
from app.cli_doors import bench as bench_at
from app.cli_sweeps import sweep
from app.client import Refused, Unreachable
from app.db import WrongSchema
from app.errors import Problem
from app.settings import Settings, load
from poisoning import catalog

cli = typer.Typer(
    help="Measures how much a training pipeline has to fear data poisoning.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
experiments = typer.Typer(help="Experiments on a running server.", no_args_is_help=True)
study = typer.Typer(help="Experiments that regenerate one table or figure.", no_args_is_help=True)
token = typer.Typer(help="Bearer tokens of this installation.", no_args_is_help=True)
data = typer.Typer(help="Data sets of this installation.", no_args_is_help=True)
for name, group in (
    ("experiments", experiments),
    ("checkpoints", checkpoints),
    ("study", study),
    ("sweep", sweep),
    ("token", token),
    ("data", data),
):
    cli.add_typer(group, name=name)

Number = Annotated[int, typer.Argument(help="Id of the experiment.")]


def main() -> None:
    """The program's entry: errors in one or two lines, not as tracebacks."""
    try:
        cli()
    except Refused as error:
        terminal.complain(f"{error.title}: {error.detail}", error.errors)
    except Problem as error:
        terminal.complain(error.detail, [e.model_dump() for e in error.errors])
    except (Unreachable, WrongSchema) as error:
        terminal.complain(str(error), [])


# --- this installation ------------------------------------------------------------------------


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to bind.")] = None,
) -> None:
    """Serve pages and API; with no broker configured, run the worker too."""
    from app import supervisor

    given: dict[str, Any] = {"host": host, "port": port}
    settings = Settings(**{k: v for k, v in given.items() if v is not None})
    _run(lambda: supervisor.serve(settings))


@cli.command()
def worker() -> None:
    """Run one worker: it claims work from the database until it is stopped."""
    from app import supervisor

    _run(lambda: supervisor.worker(load()))


@cli.command()
def demo(
    home: Annotated[
        Path | None, typer.Option(help="Keep what it makes in this folder; default: nowhere.")
    ] = None,
) -> None:
    """Run the demonstration study and print its leaderboard; fails if it does not hold."""
    from app import supervisor

    _run(lambda: supervisor.demo(load(), home))


def _run(command: Callable[[], int]) -> None:
    """Run something that answers with an exit status; why it cannot start is one line."""
    from app import auth, supervisor

    try:
        status = command()
    except (supervisor.CannotStart, auth.NoTokens) as error:
        terminal.complain(str(error), [])
    raise typer.Exit(status)


@cli.command()
def migrate() -> None:
    """Bring the database to this release's version."""
    from app import db

    out.print(f"The database is at version {db.migrate(load())}.")


@token.command("create")
def token_create(
    name: Annotated[str, typer.Argument(help="Whose it is, or what for.")],
    scope: Annotated[list[str] | None, typer.Option(help="read, submit or admin.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires.")] = None,
) -> None:
    """Make a token. It is shown now and never again."""
    from app import db
    from app.services import tokens

    with db.session(load()) as session:
        _, secret = tokens.create(session, name, scope or ["submit"], _now(), days)
    out.print(secret, soft_wrap=True, highlight=False)


@token.command("list")
def token_list() -> None:
    """Tokens without their secrets."""
    from app import db
    from app.services import tokens

    with db.session(load()) as session:
        rows = tokens.everyone(session)
    table = Table("prefix", "name", "scopes", "made", "expires", "revoked")
    for row in rows:
        moments = (row.created_at, row.expires_at, row.revoked_at)
        table.add_row(row.prefix, row.name, " ".join(row.scopes), *map(terminal.moment, moments))
    out.print(table)


@token.command("revoke")
def token_revoke(prefix: Annotated[str, typer.Argument(help="As `token list` shows it.")]) -> None:
    """Make a token useless at once."""
    from app import db
    from app.services import tokens

    with db.session(load()) as session:
        tokens.revoke(session, prefix, _now())
    out.print(f"Token {prefix} is revoked.")


@data.command("path")
def data_path() -> None:
    """Where data sets are looked for."""
    out.print(str(load().datasets_dir), soft_wrap=True, highlight=False)


@data.command("check")
def data_check(
    name: Annotated[str | None, typer.Argument(help="e.g. cifar10; default: all.")] = None,
) -> None:
    """Whether a data set's files are there and are what they should be; reads every file."""
    names = [name] if name else [row.name for row in catalog.DATASETS.values() if row.folder]
    raise typer.Exit(max(_science("data", "check", each) for each in names))


@data.command("download")
def data_download(name: Annotated[str, typer.Argument(help="e.g. cifar10")]) -> None:
    """Fetch a data set from its home page into the data folder."""
    raise typer.Exit(_science("data", "download", name))


@cli.command()
def verify(
    bundle: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A bundle.")],
    sample: Annotated[int, typer.Option(min=0, help="Trials to run again; 0: only check.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the draw; choose one of your own.")] = 0,
    checkpoints: Annotated[
        list[Path] | None, typer.Option(help="Folder of checkpoints that need no training.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Default: this installation's.")] = None,
    work: Annotated[Path, typer.Option(help="Keeps the checkpoints it trains.")] = Path(
        "results/verify"
    ),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Check a bundle and run some of its trials again; status 0 if all verdicts match."""
    named = [word for folder in checkpoints or [] for word in ("--checkpoints", str(folder))]
    options = {"--sample": sample, "--seed": seed, "--out": work, "--device": device}
    plain = [str(word) for option in options.items() for word in option]
    status = _science("verify", str(bundle), *plain, *named, folder=data_dir)
    raise typer.Exit(status)


def _science(*arguments: str, folder: Path | None = None) -> int:
    """Run the science's own command line, which needs torch, in a process of its own."""
    folder = folder or load().datasets_dir
    command = [sys.executable, "-m", "poisoning", *arguments, "--data-dir", str(folder)]
    return subprocess.run(command, check=False).returncode


def _now() -> datetime:
    return datetime.now(UTC)


# --- a running server -------------------------------------------------------------------------


@cli.command()
def run(
    spec: SpecFile,
    title: Annotated[str, typer.Option(help="How it is called in lists.")] = "",
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = True,
    url: Url = None,
    bearer: Bearer = None,
) -> None:
    """Launch an experiment from a file and follow it to its end."""
    with bench_at(url, bearer) as bench:
        launched = bench.launch(read_spec(spec), title)
        out.print(f"Experiment {launched['id']}: {launched['title']}")
        if wait:
            terminal.follow(bench, launched["id"], out)


@cli.command()
def estimate(
    spec: SpecFile,
    url: Url = None,
    bearer: Bearer = None,
) -> None:
    """What an experiment would cost."""
    with bench_at(url, bearer) as bench:
        found = bench.estimate(read_spec(spec))
    out.print(
        f"About {terminal.duration(found['seconds'])} in {found['batches']} batches, "
        f"{found['memory_mib']:,.0f} MiB ({found['basis']})."
    )


@cli.command()
def trials(number: Number, url: Url = None, bearer: Bearer = None) -> None:
    """The trials of an experiment with their verdicts."""
    with bench_at(url, bearer) as bench:
        out.print(terminal.trials_table(bench.trials(number)))


@cli.command()
def extend(
    number: Number,
    trials: Annotated[int, typer.Option(help="How many it shall have in all.")],
    url: Url = None,
    bearer: Bearer = None,
) -> None:
    """Give an experiment more trials; those that are done stay."""
    with bench_at(url, bearer) as bench:
        found = bench.extend(number, trials)
    done = f"{found['trials_done']} of {found['trials_total']} trials"
    out.print(f"Experiment {number} is {found['state']}: {done} are done.")


@cli.command("export-bundle")
def export_bundle(
    noun: Annotated[Literal["study", "experiment"], typer.Argument(help="study or experiment")],
    number: Annotated[int, typer.Argument(help="Its id.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The zip file to write.")],
    with_poisons: Annotated[bool, typer.Option(help="Put the poison sets in too.")] = False,
    url: Url = None,
    bearer: Bearer = None,
) -> None:
    """Write a study or an experiment as one file that can be verified elsewhere."""
    with bench_at(url, bearer) as bench:
        bench.download_bundle(noun, number, output, with_poisons)
    size = output.stat().st_size / 1e6
    out.print(f"{output}: {size:.2f} MB. Check it with: dosimeter verify {output}", soft_wrap=True)


@cli.command()
def leaderboard(
    dataset: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
    profile: Annotated[str | None, typer.Option(help="smoke, quick or paper.")] = None,
    url: Url = None,
    bearer: Bearer = None,
) -> None:
    """Every leaderboard as a table, with the ranks of its attacks."""
    with bench_at(url, bearer) as bench:
        titles = bench.leaderboard_titles(dataset, profile)
        boards = [bench.leaderboard(title["key"]) for title in titles]
    if not boards:
        out.print("Nothing is measured yet.")
    for board in boards:
        terminal.print_board(board, out)


@experiments.command("list")
def experiments_list(
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    url: Url = None,
    bearer: Bearer = None,
) -> None:
    """Experiments, the newest first."""
    with bench_at(url, bearer) as bench:
        out.print(terminal.experiments_table(bench.experiments(state=state)))


@experiments.command("show")
def experiments_show(number: Number, url: Url = None, bearer: Bearer = None) -> None:
    """One experiment: what came out, and how far it is."""
    with bench_at(url, bearer) as bench:
        terminal.print_experiment(bench.get(number), out)


@experiments.command("cancel")
def experiments_cancel(number: Number, url: Url = None, bearer: Bearer = None) -> None:
    """Stop it; finished trials stay."""
    with bench_at(url, bearer) as bench:
        out.print(f"Experiment {number} is {bench.cancel(number)['state']}.")


@experiments.command("retry")
def experiments_retry(number: Number, url: Url = None, bearer: Bearer = None) -> None:
    """Queue what it has not done."""
    with bench_at(url, bearer) as bench:
        out.print(f"Experiment {number} is {bench.retry(number)['state']}.")


@experiments.command("clone")
def experiments_clone(number: Number, url: Url = None, bearer: Bearer = None) -> None:
    """Launch the same spec again."""
    with bench_at(url, bearer) as bench:
        out.print(f"Experiment {bench.clone(number)['id']} is launched.")


@study.command("list")
def study_list(url: Url = None, bearer: Bearer = None) -> None:
    """Studies that can be run by name."""
    table = Table("name", "title")
    with bench_at(url, bearer) as bench:
        for row in bench.studies():
            table.add_row(row["name"], row["title"])
    out.print(table)


@study.command("run")
def study_run(
    name: Annotated[str, typer.Argument(help="As `study list` shows it.")],
    profile: Annotated[str, typer.Option(help="smoke, quick or paper.")] = "quick",
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = True,
    url: Url = None,
    bearer: Bearer = None,
) -> None:
    """Launch a study and follow it to its end."""
    with bench_at(url, bearer) as bench:
        launched = bench.launch_study(name, profile)
        out.print(f"Study {launched['id']}: {launched['title']}")
        if wait:
            for row in bench.study(launched["id"])["experiments"]:
                out.print(f"Experiment {row['id']}: {row['title']}")
                terminal.follow(bench, row["id"], out)


if __name__ == "__main__":
    main()
