"""``python -m poisoning adopt``: weights trained elsewhere, taken over as a checkpoint of ours."""

import argparse
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from poisoning import events, running
from poisoning.recipes import RECIPES
from poisoning.renames import AUTO, NAMINGS
from poisoning.spec import AdoptSpec, FieldError
from poisoning.victim_params import CheckpointName

NAME: TypeAdapter[str] = TypeAdapter(CheckpointName)


def add_command(add: Callable[..., argparse.ArgumentParser], places: Any) -> None:
    """``add`` makes a parser of name, command and help; ``places`` says where things lie."""
    one = add("adopt", _adopt, "take weights trained elsewhere over as a checkpoint")
    one.add_argument("file", type=Path, help=".pth, .pt or .safetensors; or one packed as .xz")
    one.add_argument("--name", required=True, help="what the checkpoint is called here")
    one.add_argument("--model", required=True, help="its architecture, as the catalogue calls it")
    one.add_argument("--dataset", required=True, help="what it was trained on")
    one.add_argument("--naming", default=AUTO, help=f"{AUTO}, {', '.join(NAMINGS)}")
    one.add_argument("--rename", action="append", default=[], metavar="PATTERN=REPLACEMENT",
                     help="regular expression for names of tensors, before the naming")  # fmt: skip
    places(one)


def _adopt(given: argparse.Namespace) -> int:
    folder = given.out / running.CHECKPOINTS
    _check_name(given.name, folder)
    spec = AdoptSpec(
        model=given.model,
        dataset=given.dataset,
        naming=given.naming,
        renames=given.rename,
        filename=given.file.name[-200:],
        sha256=_sha256(given.file),
    )
    job = events.AdoptJob(
        name=given.name,
        spec=spec,
        source=str(given.file),
        machine=running.machine(given, folder),
    )
    done: list[events.CheckpointDone] = []
    screen = running.Screen(given.name)

    def emit(message: events.Message) -> None:
        if isinstance(message, events.CheckpointDone):
            done.append(message)
        else:
            screen.show(message)

    running.execute(job, emit)
    images = done[0].card["test_images"]
    print(f"{100 * done[0].clean_accuracy:.2f} % of {images:,} clean test images, measured here")
    print(folder / done[0].path)
    return 0


def _check_name(name: str, folder: Path) -> None:
    """FieldError where it is none, that of a recipe, or taken."""
    try:
        NAME.validate_python(name)
    except ValidationError:
        raise FieldError(
            "--name", f"{name!r} is no name", "small letters, digits, dots, dashes, underscores"
        ) from None
    if name in RECIPES:
        raise FieldError("--name", f"{name!r} is the name of a recipe", "choose another name")
    if (path := folder / f"{name}.json").is_file():
        raise FieldError("--name", f"there is {path} already", "choose another name, or remove it")


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FieldError(
            "file", f"{path} cannot be read ({error.strerror})", "check the path"
        ) from None
