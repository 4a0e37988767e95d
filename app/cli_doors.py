"""What every command of ``dosimeter`` that drives a server is given."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from app.client import Client
from app.settings import load

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="DOSIMETER_URL", help="Server; default: this machine's."),
]
Bearer = Annotated[
    str | None, typer.Option("--token", envvar="DOSIMETER_TOKEN", help="Bearer token.")
]
SpecFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Spec as JSON.")]
out = Console()


@contextmanager
def bench(url: str | None, bearer: str | None) -> Iterator[Client]:
    """The server named, or this machine's by its settings."""
    settings = load()
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    with Client(url or f"http://{host}:{settings.port}", token=bearer) as client:
        yield client


def read_json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not JSON: {error}") from None
    if not isinstance(read, dict):
        raise typer.BadParameter(f"{path} does not hold a JSON object")
    return read
