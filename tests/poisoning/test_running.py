"""What the command line keeps: trials one by one, and whole studies."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from poisoning import cli, cli_studies, running
from poisoning.events import TrialDone
from poisoning.spec import ExperimentSpec
from poisoning.studies import STUDIES
from poisoning.studies.study import Line, Place, Study
from tests.poisoning.test_main import fake_checkpoint

NAME = "convnet3-digits_0_4-s0"
RAW = {
    "attack": {"name": "no_perturbation"},
    "victims": [{"regime": "frozen", "checkpoint": NAME, "recipe": {"epochs": 1}}],
    "data": {"dataset": "digits_5_9", "train_size": 60, "poisons": 3},
    "trials": 4,
    "profile": "smoke",
}
SPEC = ExperimentSpec.model_validate(RAW)


def lines(out):
    (path,) = (out / "experiments").glob("*/trials.jsonl")
    return [TrialDone.model_validate_json(line) for line in path.read_text().split("\n") if line]


def run(out, *more):
    path = out / "spec.json"
    path.write_text(json.dumps(RAW))
    return cli.main(["run", str(path), *more, "--out", str(out), "--device", "cpu"])


def test_a_second_call_runs_nothing_that_is_done(tmp_path, capsys):
    fake_checkpoint(tmp_path)
    assert run(tmp_path) == 0
    first = capsys.readouterr()
    before = lines(tmp_path)
    assert [trial.index for trial in before] == [0, 1, 2, 3]
    assert run(tmp_path) == 0
    again = capsys.readouterr()
    assert again.out == first.out and lines(tmp_path) == before
    assert "4 of 4 trials are there" in again.err and "done in" not in again.err


def test_only_what_is_missing_or_spoilt_is_run_again(tmp_path, capsys):
    fake_checkpoint(tmp_path)
    run(tmp_path)
    (path,) = (tmp_path / "experiments").glob("*/trials.jsonl")
    kept, half, gone, other = lines(tmp_path)
    (path.parent / gone.poison_set).unlink()
    foreign = other.model_copy(update={"craft_hash": "x"})
    text = half.model_dump_json()
    texts = [kept.model_dump_json(), gone.model_dump_json(), foreign.model_dump_json(), text[:99]]
    path.write_text("\n".join(texts))
    capsys.readouterr()
    assert run(tmp_path) == 0
    assert "1 of 4 trials are there" in capsys.readouterr().err
    found = running.done_trials(path.parent, SPEC, {NAME: running._sha256(checkpoint(tmp_path))})
    assert list(found) == [0, 1, 2, 3] and found[0] == kept


def checkpoint(out):
    return out / "checkpoints" / f"{NAME}.safetensors"


def test_trials_of_another_checkpoint_are_not_taken(tmp_path):
    fake_checkpoint(tmp_path)
    run(tmp_path)
    (path,) = (tmp_path / "experiments").glob("*")
    right = running._sha256(checkpoint(tmp_path))
    assert len(running.done_trials(path, SPEC, {NAME: right})) == 4
    assert running.done_trials(path, SPEC, {NAME: "0" * 64}) == {}


def test_a_killed_process_loses_no_trial_that_was_done(tmp_path, capsys):
    """SIGKILL in the middle; the next call goes on where it was."""
    fake_checkpoint(tmp_path)
    slow = {"attack": {"name": "bullseye_polytope", "steps": 60}, "surrogates": [NAME],
            "data": RAW["data"] | {"poisons": 10, "train_size": 100}, "trials": 20}  # fmt: skip
    path = tmp_path / "slow.json"
    path.write_text(json.dumps(RAW | slow))
    command = ["run", str(path), "--out", str(tmp_path), "--device", "cpu", "--threads", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "poisoning", *command],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ,
    )  # fmt: skip
    deadline, found = time.monotonic() + 120, []
    while not found and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
        found = list((tmp_path / "experiments").glob("*/trials.jsonl"))
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    done = found[0].read_text().count("}\n")
    assert 0 < done < 20
    assert cli.main(command) == 0
    said = capsys.readouterr().err
    assert " of 20 trials are there" in said
    indices = [trial.index for trial in lines(tmp_path)]
    assert sorted(indices) == list(range(20)), "a trial was run twice, or not at all"


# --- all studies --------------------------------------------------------------------------------


def studies(tmp_path, monkeypatch, faults=()):
    one = Study("one", "One", "A study.", lambda _: (Line("a", SPEC, (Place("T", "r", "c"),)),),
                ("smoke",), lambda _: list(faults))  # fmt: skip
    for module in (cli_studies, sys.modules["poisoning.bundle"]):
        monkeypatch.setattr(module, "STUDIES", {"one": one})
    fake_checkpoint(tmp_path)


def test_all_studies_have_a_line_each_and_are_not_run_twice(tmp_path, capsys, monkeypatch):
    studies(tmp_path, monkeypatch)
    command = ["study", "--all", "--profile", "smoke", "--out", str(tmp_path)]
    assert cli.main(command) == 0
    said = capsys.readouterr()
    first, last = said.out.splitlines()
    assert said.err == ""
    assert first.split()[:2] == ["one", "done"] and "1 experiments, 4 trials" in first
    assert last.startswith("1 studies in ")
    assert "| r | c | " in (tmp_path / "studies" / "one-smoke.md").read_text()
    monkeypatch.setattr(cli_studies, "carry_through", lambda *_: pytest.fail("run again"))
    assert cli.main(command) == 0
    assert "was done before" in capsys.readouterr().out


def test_a_study_that_does_not_hold_is_not_done(tmp_path, capsys, monkeypatch):
    studies(tmp_path, monkeypatch, ["the sky is green"])
    command = ["study", "--all", "--profile", "smoke", "--out", str(tmp_path)]
    for _ in range(2):
        assert cli.main(command) == 1
        assert "the sky is green" in capsys.readouterr().out


def test_one_study_that_fails_stops_no_other(tmp_path, capsys, monkeypatch):
    studies(tmp_path, monkeypatch)
    checkpoint(tmp_path).unlink()
    assert cli.main(["study", "--all", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "failed" in said.out and "1 studies in" in said.out and "error: " in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--all", "baselines"], "--all: takes neither a name"),
        (["--all", "--profile", "tiny"], "profile: no study has tiny"),
        (
            ["baselines", "--profile", "tiny"],
            "profile: baselines has smoke, quick, paper, not tiny",
        ),
        (["base_lines"], "did you mean baselines?"),
    ],
)
def test_what_cannot_be_run_is_one_message(arguments, words, capsys):
    assert cli.main(["study", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert set(STUDIES)
