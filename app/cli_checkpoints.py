"""``dosimeter checkpoints``: the catalogue of a running server, training one, bringing one in."""

from pathlib import Path
from typing import Annotated

import typer

from app import terminal
from app.cli_doors import Bearer, Url, bench, out, read_spec

checkpoints = typer.Typer(help="Pretrained extractors.", no_args_is_help=True)


@checkpoints.command("list")
def checkpoints_list(url: Url = None, bearer: Bearer = None) -> None:
    """The catalogue of checkpoints."""
    with bench(url, bearer) as client:
        out.print(terminal.checkpoints_table(client.checkpoints()))


@checkpoints.command("train")
def checkpoints_train(
    name: Annotated[str, typer.Argument(help="A recipe's name, or a new one with --spec.")],
    spec: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON or YAML.")
    ] = None,
    url: Url = None,
    bearer: Bearer = None,
) -> None:
    """Queue the training of a checkpoint."""
    with bench(url, bearer) as client:
        client.train(name, read_spec(spec) if spec else None)
    out.print(f"Checkpoint {name} is queued.")


@checkpoints.command("import")
def checkpoints_import(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The weights.")],
    card: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Another Dosimeter's.")
    ] = None,
    name: Annotated[str, typer.Option(help="Its name there; with a card: else the card's.")] = "",
    model: Annotated[str, typer.Option(help="Trained elsewhere: its architecture.")] = "",
    dataset: Annotated[str, typer.Option(help="Trained elsewhere: on what.")] = "",
    naming: Annotated[str, typer.Option(help="What its tensors are called.")] = "auto",
    rename: Annotated[
        list[str] | None, typer.Option(help="PATTERN=REPLACEMENT, before the naming.")
    ] = None,
    url: Url = None,
    bearer: Bearer = None,
) -> None:
    """Bring in a checkpoint: a file with its card, or weights trained elsewhere."""
    with bench(url, bearer) as client:
        if card is not None:
            found = client.import_checkpoint(file, card, name)
        else:
            found = client.adopt_checkpoint(file, name, model, dataset, naming, rename or ())
    out.print(f"Checkpoint {found['name']} is {found['state']}.")
