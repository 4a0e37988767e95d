"""What every command of ``dosimeter`` that drives a server is given."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from app.client import Client
from app.settings import load
from poisoning import spec_file
from poisoning.spec import FieldError

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="DOSIMETER_URL", help="Server; default: this machine's."),
]
Bearer = Annotated[
    str | None, typer.Option("--token", envvar="DOSIMETER_TOKEN", help="Bearer token.")
]
SpecFile = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="Spec as JSON or YAML.")
]
out = Console()


@contextmanager
def bench(url: str | None, bearer: str | None) -> Iterator[Client]:
    """The server named, or this machine's by its settings."""
    settings = load()
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    with Client(url or f"http://{host}:{settings.port}", token=bearer) as client:
        yield client


def read_spec(path: Path) -> dict[str, Any]:
    """A spec from a file, JSON or YAML by its ending."""
    try:
        return spec_file.read(path)
    except FieldError as error:
        remedy = f"; {error.remedy}" if error.remedy else ""
        raise typer.BadParameter(f"{error}{remedy}") from None
