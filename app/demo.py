"""The demonstration study from end to end, with no browser: what `make demo` runs.

A server, a worker and a database of their own are started for real, the study is launched over
REST, and what came out must be what the study promises.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from app import terminal
from app.client import ENDED, Client, Json
from app.settings import Settings
from app.supervisor import CannotStart, exported
from poisoning.events import Extras, Judged, OutcomeResult, Setup, TrialDone
from poisoning.results import Results
from poisoning.spec import ExperimentSpec
from poisoning.studies import STUDIES

STUDY, PROFILE = "demonstration", "quick"
STOP_S = 20.0
POLL_S = 0.5


def run(settings: Settings, home: Path | None = None, console: Console | None = None) -> int:
    """Exit status 0 where everything ran and the study's promises hold. Raises CannotStart."""
    console = console or Console()
    place = nullcontext(str(home)) if home else tempfile.TemporaryDirectory(prefix="dosimeter-")
    with place as folder:
        apart = {"home": folder, "port": 0, "host": "127.0.0.1", "demonstration": False}
        apart |= {"database_url": None, "broker_url": None}
        if "workers" not in settings.model_fields_set:
            apart["workers"] = None  # as many as this machine carries, whoever else has a broker
        alone = Settings(**settings.model_dump() | apart)
        with _served(alone, console) as url, Client(url) as bench:
            study = _follow(bench, bench.launch_study(STUDY, PROFILE)["id"], console)
            return _judge(bench, study, console)


@contextmanager
def _served(settings: Settings, console: Console) -> Iterator[str]:
    """``dosimeter serve`` in a process of its own; its address."""
    log = settings.logs_dir / "serve.log"
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve"],
            env=os.environ | exported(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
    try:
        assert process.stdout
        line = process.stdout.readline()
        address = [word for word in line.split() if word.startswith("http")]
        if not address:
            raise CannotStart(f"the server did not start:\n{log.read_text()[-2000:]}")
        console.print(f"Server and worker run at {address[0]}", highlight=False)
        yield address[0]
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _follow(bench: Client, study_id: int, console: Console) -> Json:
    """Bars, one for each experiment, until all of them have ended; the study then."""
    columns = (
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]:<9}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bars: dict[int, TaskID] = {}
        while True:
            study = bench.study(study_id)
            for row in study["experiments"]:
                if row["id"] not in bars:
                    total = row["trials_total"]
                    bars[row["id"]] = progress.add_task(row["title"], total=total, state="")
                progress.update(bars[row["id"]], completed=row["trials_done"], state=row["state"])
            if all(row["state"] in ENDED for row in study["experiments"]):
                return study
            time.sleep(POLL_S)


def _judge(bench: Client, study: Json, console: Console) -> int:
    for title in bench.leaderboard_titles():
        terminal.print_board(bench.leaderboard(title["key"]), console)
    console.print(f"\n{seconds(study):.0f} s from launch to the last outcome")
    broken = [
        f"{row['title']} {row['state']}: {bench.get(row['id'])['answer']}"
        for row in study["experiments"]
        if row["state"] != "done"
    ]
    if not broken:
        found = [results_of(bench, row) for row in study["experiments"]]
        broken = STUDIES[STUDY].verdict(found)
    for sentence in broken:
        console.print(sentence, style="red", markup=False)
    console.print("The study does not hold." if broken else "The study holds what it promises.")
    return 1 if broken else 0


def results_of(bench: Client, experiment: Json) -> Results:
    """An experiment's trials, read over REST, as the science counts them."""
    spec = ExperimentSpec.model_validate(bench.get(experiment["id"])["spec"])
    trials = [_trial(row) for row in bench.trials(experiment["id"])]
    return Results(experiment["title"], spec, trials)


def _trial(row: Json) -> TrialDone:
    same = ("craft_hash", "craft_seconds", "linf_255", "mean_l2", "ssim", "final_loss")
    return TrialDone(
        index=row["number"],
        setup=Setup(**{name: row[name] for name in Setup.model_fields}),
        poison_set=row["poison_set"],
        poison_set_hash=row["poison_set"],
        outcomes=tuple(_outcome(outcome) for outcome in row["outcomes"]),
        **{name: row[name] for name in same},
    )


def _outcome(row: Json) -> OutcomeResult:
    judged = Judged.model_fields
    # REST names a provenance by its hash; a verdict needs none
    apart = {"poisoned", "twin", "extras", "explanation", "provenance"}
    same = set(OutcomeResult.model_fields) - apart
    return OutcomeResult(
        poisoned=Judged(**{name: row[name] for name in judged}),
        twin=Judged(**{name: row[f"twin_{name}"] for name in judged}),
        extras=Extras(**(row["extras"] or {})),
        **{name: row[name] for name in same},
    )


def seconds(study: Json) -> float:
    """From the launch to the last outcome."""
    ends = [row["finished_at"] for row in study["experiments"] if row["finished_at"]]
    if not ends:
        return 0.0
    began = datetime.fromisoformat(study["created_at"])
    return max((datetime.fromisoformat(end) - began).total_seconds() for end in ends)
