"""The command line of the science alone. Bad input: one message that names the field, status 2."""

import argparse
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from poisoning import (
    catalog,
    cli_adopt,
    cli_bundles,
    cli_certify,
    cli_sets,
    cli_studies,
    cli_sweep,
    shipped,
    spec_file,
    work,
)
from poisoning.bundle import About
from poisoning.results import Results, table
from poisoning.running import BAD_INPUT, JobFailed, Screen, checkpoint, complain, experiment
from poisoning.spec import ExperimentSpec, FieldError

DATA_DIR = Path(os.environ.get("DOSIMETER_DATA_DIR", "~/.cache/dosimeter/data")).expanduser()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    given = _parser().parse_args(arguments)
    try:
        status: int = given.command(given)
    except ValidationError as error:
        for fault in error.errors():
            place = ".".join(str(part) for part in fault["loc"])
            complain(place, fault["msg"].removeprefix("Value error, "))
        return BAD_INPUT
    except FieldError as error:
        complain(error.field, error.message, error.remedy)
        return BAD_INPUT
    except catalog.UnknownName as error:
        complain("name", error.message)
        return BAD_INPUT
    except JobFailed as error:
        return error.status
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m poisoning", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        return sub

    one = add("work", _work, "run one job of a worker; events as JSON lines on stdout")
    one.add_argument("job", type=Path)

    one = add("run", _run, "run one experiment and print its rates")
    one.add_argument("spec", type=Path, nargs="?", help="an experiment as JSON or YAML")
    one.add_argument("--attack", help="name of an attack; its knobs by --set attack.KNOB=VALUE")
    one.add_argument("--surrogate", action="append", default=[], metavar="CHECKPOINT")
    one.add_argument("--victim", action="append", default=[], metavar="CHECKPOINT")
    one.add_argument("--set", action="append", default=[], metavar="FIELD=JSON", dest="fields")
    _add_bundle(one)
    _add_places(one)

    one = add("pretrain", _pretrain, "train one of the recipes")
    one.add_argument("name")
    _add_places(one)

    cli_adopt.add_command(add, _add_places)

    one = add("accuracy", _accuracy, "measure a checkpoint's clean accuracy")
    one.add_argument("checkpoint", type=Path)
    one.add_argument("--dataset", help="another data set than its card's")
    _add_places(one)

    one = add("ship", _ship, "store a checkpoint in half precision among those of the project")
    one.add_argument("checkpoint", type=Path)
    one.add_argument("--data-dir", type=Path, default=DATA_DIR)
    one.add_argument("--to", type=Path, default=shipped.FOLDER)

    one = add("data", _data, "fetch a data set, or check the one that is there")
    one.add_argument("action", choices=("download", "check"))
    one.add_argument("name")
    _add_places(one)

    cli_studies.add_command(add, _bundle, (_add_bundle, _add_places))
    cli_sweep.add_command(add, experiment, _add_places)
    cli_certify.add_command(add, experiment, _add_places)
    cli_sets.add_commands(add, DATA_DIR)
    cli_bundles.add_commands(add, DATA_DIR, _screens())
    return parser


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, metavar="FILE.zip", help="write all of it there too")


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=Path, default=DATA_DIR)
    parser.add_argument("--out", type=Path, default=Path("results"), help="where results go")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=None)


# --- commands ---------------------------------------------------------------------------------


def _work(given: argparse.Namespace) -> int:
    return work.work(given.job)


def _run(given: argparse.Namespace) -> int:
    spec = _spec(given)
    title = f"{catalog.attack(spec.attack.name).title} on {spec.data.dataset}"
    found = experiment(spec, title, given)
    _bundle(given, About(kind="run", title=title, date=datetime.now(UTC)), [found])
    print(table([found]))
    return 0


def _spec(given: argparse.Namespace) -> ExperimentSpec:
    """The experiment of a file, or of the options; --set changes either."""
    raw = spec_file.read(given.spec) if given.spec else {}
    if given.attack:
        raw["attack"] = {"name": given.attack}
    if given.surrogate:
        raw["surrogates"] = given.surrogate
    if given.victim:
        raw["victims"] = [{"regime": "frozen", "checkpoint": name} for name in given.victim]
    for assignment in given.fields:
        _assign(raw, assignment)
    return ExperimentSpec.model_validate(raw)


def _assign(raw: dict[str, Any], assignment: str) -> None:
    """Put one ``a.b=JSON`` into a spec; what is not JSON is taken as text."""
    path, separator, text = assignment.partition("=")
    if not separator:
        raise FieldError("--set", f"{assignment!r} is not FIELD=VALUE")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    *parents, last = path.split(".")
    place: Any = raw
    try:
        for name in parents:
            place = place[int(name)] if isinstance(place, list) else place.setdefault(name, {})
        place[int(last) if isinstance(place, list) else last] = value
    except (ValueError, IndexError, TypeError, AttributeError):
        raise FieldError(path, "there is no such field") from None


def _pretrain(given: argparse.Namespace) -> int:
    print(checkpoint(given.name, given))
    return 0


def _accuracy(given: argparse.Namespace) -> int:
    from poisoning import data, devices
    from poisoning.models import store
    from poisoning.models.evaluate import clean_accuracy

    try:
        net, card = store.load(given.checkpoint)
        dataset = data.load(given.dataset or card.dataset, given.data_dir)
        net = net.to(devices.pick(given.device))
        if net.num_classes != len(dataset.spec.classes):
            raise FieldError("--dataset", f"has {len(dataset.spec.classes)} classes, not its own")
    except (store.CheckpointError, data.DataError) as error:
        complain(error.field, error.message, error.remedy)
        return BAD_INPUT
    measured = clean_accuracy(net, dataset.test, card.mean, card.std)
    print(f"{100 * measured:.2f} % of {len(dataset.test):,} test images of {dataset.spec.title}")
    print(f"its card says {100 * card.clean_accuracy:.2f} % on {card.dataset}")
    return 0


def _ship(given: argparse.Namespace) -> int:
    from poisoning import data
    from poisoning.models import shipping, store

    try:
        card = shipping.ship(given.checkpoint, given.data_dir, given.to)
    except (store.CheckpointError, data.DataError) as error:
        complain(error.field, error.message, error.remedy)
        return BAD_INPUT
    size = (given.to / given.checkpoint.name).stat().st_size / 1e6
    print(f"{card.name}: {100 * card.clean_accuracy:.2f} % as it is stored, {size:.1f} MB")
    return 0


def _data(given: argparse.Namespace) -> int:
    from poisoning import data

    try:
        if given.action == "download":
            data.download(given.name, given.data_dir)
        found = data.load(given.name, given.data_dir)
    except data.DataError as error:
        complain(error.field, error.message, error.remedy)
        return BAD_INPUT
    print(f"{found.spec.title}: {len(found.train):,} training, {len(found.test):,} test images")
    print(f"md5 of all pixels and labels: {found.md5}")
    return 0


# --- running ----------------------------------------------------------------------------------


def _bundle(given: argparse.Namespace, about: About, found: Sequence[Results]) -> None:
    if given.bundle is not None:
        cli_bundles.write(given.bundle, about, found, given.out / "checkpoints")


def _screens() -> cli_bundles.Screen:
    """A screen for each thing that is worked on."""
    made: dict[str, Screen] = {}
    return lambda title, message: made.setdefault(title, Screen(title)).show(message)
