"""The command line of the science alone. Bad input: one message that names the field, status 2."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from poisoning import (
    catalog,
    cli_bundles,
    cli_sets,
    cli_sweep,
    events,
    shipped,
    studies,
    tables,
    work,
)
from poisoning.bundle import About, rules
from poisoning.recipes import RECIPES
from poisoning.results import Results, table
from poisoning.spec import ExperimentSpec, FieldError, PretrainSpec, Profile, spec_hash

DATA_DIR = Path(os.environ.get("DOSIMETER_DATA_DIR", "~/.cache/dosimeter/data")).expanduser()
BAD_INPUT, FAILED = 2, 1


class JobFailed(Exception):
    """A job that could not be done; the reader has been told why."""

    def __init__(self, failed: events.Failed) -> None:
        self.status = BAD_INPUT if failed.reason in ("bad_input", "bad_data") else FAILED
        super().__init__(failed.message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    given = _parser().parse_args(arguments)
    try:
        status: int = given.command(given)
    except ValidationError as error:
        for fault in error.errors():
            place = ".".join(str(part) for part in fault["loc"])
            _complain(place, fault["msg"].removeprefix("Value error, "))
        return BAD_INPUT
    except FieldError as error:
        _complain(error.field, error.message, error.remedy)
        return BAD_INPUT
    except catalog.UnknownName as error:
        _complain("name", error.message)
        return BAD_INPUT
    except JobFailed as error:
        return error.status
    return status


def _complain(field: str, message: str, remedy: str | None = None) -> None:
    text = message if message.startswith(f"{field}: ") else f"{field}: {message}"
    print(f"error: {text}{f'; {remedy}' if remedy else ''}", file=sys.stderr)


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
    one.add_argument("spec", type=Path, nargs="?", help="an experiment as JSON")
    one.add_argument("--attack", help="name of an attack; its knobs by --set attack.KNOB=VALUE")
    one.add_argument("--surrogate", action="append", default=[], metavar="CHECKPOINT")
    one.add_argument("--victim", action="append", default=[], metavar="CHECKPOINT")
    one.add_argument("--set", action="append", default=[], metavar="FIELD=JSON", dest="fields")
    _add_bundle(one)
    _add_places(one)

    one = add("pretrain", _pretrain, "train one of the recipes")
    one.add_argument("name")
    _add_places(one)

    one = add("study", _study, "run a study and print its tables; without a name, list them")
    one.add_argument("name", nargs="?")
    one.add_argument("--profile", default=None)
    one.add_argument("--form", choices=list(tables.FORMS), default="txt", help="of the tables")
    _add_bundle(one)
    _add_places(one)

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

    cli_sweep.add_command(add, _experiment, _add_places)
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
    found = _experiment(spec, title, given, "experiment")
    _bundle(given, About(kind="run", title=title, date=datetime.now(UTC)), [found])
    print(table([found]))
    return 0


def _spec(given: argparse.Namespace) -> ExperimentSpec:
    """The experiment of a file, or of the options; --set changes either."""
    try:
        raw = json.loads(given.spec.read_bytes()) if given.spec else {}
    except (OSError, ValueError) as error:
        raise FieldError("spec", f"cannot be read as JSON ({error})") from None
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
    print(_checkpoint(given.name, given))
    return 0


def _study(given: argparse.Namespace) -> int:
    if given.name is None:
        for study in studies.STUDIES.values():
            print(f"{study.name}: {study.title} ({', '.join(study.profiles)})")
        return 0
    study = catalog.find("study", studies.STUDIES, given.name)
    profile: Profile = given.profile or study.profiles[0]
    once = {spec_hash(spec): (title, spec) for title, spec in study.experiments(profile)}
    found = [
        _experiment(spec, title, given, f"{given.name}-{number}")
        for number, (title, spec) in enumerate(once.values())
    ]
    about = About(kind="study", title=study.title, name=study.name, profile=profile,
                  rules=rules(study.name, profile), date=datetime.now(UTC))  # fmt: skip
    _bundle(given, about, found)
    for made in study.tables(found, profile):
        print(tables.FORMS[given.form](made))
    faults = study.verdict(found)
    for fault in faults:
        print(f"does not hold: {fault}", file=sys.stderr)
    return FAILED if faults else 0


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
        _complain(error.field, error.message, error.remedy)
        return BAD_INPUT
    measured = clean_accuracy(net, dataset.test, card.mean, card.std)
    print(f"{100 * measured:.2f} % of {len(dataset.test):,} test images of {dataset.spec.title}")
    print(f"its card says {100 * card.clean_accuracy:.2f} % on {card.dataset}")
    return 0


def _ship(given: argparse.Namespace) -> int:
    from poisoning import data
    from poisoning.models import store

    try:
        card = shipped.ship(given.checkpoint, given.data_dir, given.to)
    except (store.CheckpointError, data.DataError) as error:
        _complain(error.field, error.message, error.remedy)
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
        _complain(error.field, error.message, error.remedy)
        return BAD_INPUT
    print(f"{found.spec.title}: {len(found.train):,} training, {len(found.test):,} test images")
    print(f"md5 of all pixels and labels: {found.md5}")
    return 0


# --- running ----------------------------------------------------------------------------------


def _machine(given: argparse.Namespace, name: str) -> events.Machine:
    return events.Machine(
        data_dir=str(given.data_dir),
        work_dir=str((given.out / name).resolve()),
        device=given.device,
        threads=given.threads,
    )


def _bundle(given: argparse.Namespace, about: About, found: Sequence[Results]) -> None:
    if given.bundle is not None:
        cli_bundles.write(given.bundle, about, found, given.out / "checkpoints")


def _experiment(
    spec: ExperimentSpec, title: str, given: argparse.Namespace, folder: str
) -> Results:
    """Train the checkpoints that are missing, then run all trials. Raises JobFailed."""
    names = dict.fromkeys(name for _, name in spec.checkpoint_names())
    job = events.TrialsJob(
        spec=spec,
        indices=tuple(range(spec.trials)),
        checkpoints={name: str(_checkpoint(name, given)) for name in names},
        machine=_machine(given, folder),
    )
    results = Results(title, spec)
    screen = Screen(title)

    def emit(message: events.Message) -> None:
        screen.show(message)
        if isinstance(message, events.TrialDone):
            results.trials.append(message)

    _execute(job, emit)
    path = given.out / folder / "results.json"
    path.write_text(results.to_json(), encoding="utf-8")
    return results


def _checkpoint(name: str, given: argparse.Namespace) -> Path:
    """The file of a checkpoint below ``--out``, trained first where it is a recipe not run yet."""
    machine = _machine(given, "checkpoints")
    path = Path(machine.work_dir) / f"{name}.safetensors"
    if not path.with_suffix(".json").is_file():
        spec: PretrainSpec = catalog.find("checkpoint", RECIPES, name)
        _execute(events.PretrainJob(name=name, spec=spec, machine=machine), Screen(name).show)
    return path


def _execute(job: events.TrialsJob | events.PretrainJob, emit: work.Emit) -> None:
    failed = work.execute(job, emit)
    if failed is not None:
        raise JobFailed(failed)


def _screens() -> cli_bundles.Screen:
    """A screen for each thing that is worked on."""
    made: dict[str, Screen] = {}
    return lambda title, message: made.setdefault(title, Screen(title)).show(message)


class Screen:
    """Draws events on stderr: one line, renewed in place on a terminal."""

    def __init__(self, title: str) -> None:
        self.title, self.is_live = title, sys.stderr.isatty()
        self.drawn = False

    def show(self, message: events.Message) -> None:
        if isinstance(message, events.Progress):
            self._progress(message)
        elif isinstance(message, events.Log):
            self._line(f"{self.title}: {message.message}")
        elif isinstance(message, events.CheckpointDone):
            self._line(f"{self.title}: {100 * message.clean_accuracy:.1f} % clean accuracy")
        elif isinstance(message, events.Failed):
            self._clear()
            _complain(message.field or message.reason, message.message, message.remedy)
        elif isinstance(message, events.Done):
            self._line(f"{self.title}: done in {message.seconds:.1f} s")

    def _progress(self, message: events.Progress) -> None:
        if not self.is_live:
            return
        values = "".join(f"  {name} {value:.4g}" for name, value in message.values.items())
        text = f"{self.title}: {message.stage} {message.done}/{message.total} {message.unit}"
        print(f"\r\x1b[K{text}  {message.detail}{values}", end="", file=sys.stderr, flush=True)
        self.drawn = True

    def _line(self, text: str) -> None:
        self._clear()
        print(text, file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self.drawn:
            print("\r\x1b[K", end="", file=sys.stderr)
            self.drawn = False
