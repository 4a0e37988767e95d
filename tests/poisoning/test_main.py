"""``python -m poisoning`` from outside, as a process: with no web package, with bad input."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from poisoning import cli, spec_yaml
from poisoning.events import EVENT, JOB, Done, Failed, Started, TrialDone
from tests.poisoning import jobs

BLOCKED = ("fastapi", "starlette", "sqlalchemy", "celery", "jinja2", "typer", "httpx", "redis")
BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocker())
"""


def command(*arguments):
    return [sys.executable, "-m", "poisoning", *map(str, arguments)]


def environment(tmp_path, blocked=()):
    """One thread, and a Python that cannot import what is blocked."""
    site = tmp_path / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(BLOCKER.format(blocked=set(blocked) or "()"))
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(site)}


def job_file(tmp_path, **changes):
    job = jobs.job(tmp_path, jobs.spec(trials=2, **changes))
    path = tmp_path / "job.json"
    path.write_bytes(JOB.dump_json(job))
    return path


def work(tmp_path, job, stdin=None, blocked=()):
    """Run a job to its end, stdin held open; its exit status, events and stderr."""
    process = subprocess.Popen(
        command("work", job), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=environment(tmp_path, blocked), text=True,
    )  # fmt: skip
    lines = process.stdout.read().splitlines()
    process.wait(60)
    with process.stdin, process.stdout, process.stderr:
        return process.returncode, [EVENT.validate_json(x) for x in lines], process.stderr.read()


def test_a_trial_runs_where_no_web_package_is_installed(tmp_path):
    status, events, stderr = work(tmp_path, job_file(tmp_path), blocked=BLOCKED)
    assert status == 0, stderr
    assert isinstance(events[0], Started) and isinstance(events[-1], Done)
    assert [e.index for e in events if isinstance(e, TrialDone)] == [0, 1]


def test_the_blocker_blocks(tmp_path):
    found = subprocess.run(
        [sys.executable, "-c", "import fastapi"], env=environment(tmp_path, BLOCKED),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 1 and "is blocked" in found.stderr


def test_a_job_that_fails_says_so_last_and_exits_with_one(tmp_path):
    job = jobs.job(tmp_path).model_copy(update={"checkpoints": {}})
    path = tmp_path / "job.json"
    path.write_bytes(JOB.dump_json(job))
    status, events, _ = work(tmp_path, path)
    assert status == 1
    assert isinstance(events[-1], Failed) and events[-1].field == "surrogates.0"


@pytest.mark.parametrize("content", ["{", '{"kind": "trials"}', '{"kind": "other"}'])
def test_what_is_no_job_fails_in_one_event(tmp_path, content):
    path = tmp_path / "job.json"
    path.write_text(content)
    status, (only,), _ = work(tmp_path, path)
    assert status == 1 and only.reason == "bad_input"


def test_it_ends_itself_when_its_stdin_closes(tmp_path):
    endless = jobs.spec(trials=1).attack.model_copy(update={"steps": 100_000})
    process = subprocess.Popen(
        command("work", job_file(tmp_path, attack=endless)), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(tmp_path), text=True,
    )  # fmt: skip
    with process.stdout:
        assert isinstance(EVENT.validate_json(process.stdout.readline()), Started)
        closed = time.monotonic()
        process.stdin.close()
        assert process.wait(30) == 3
        assert time.monotonic() - closed < 5


def test_it_ends_on_sigterm(tmp_path):
    endless = jobs.spec(trials=1).attack.model_copy(update={"steps": 100_000})
    process = subprocess.Popen(
        command("work", job_file(tmp_path, attack=endless)), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(tmp_path), text=True,
    )  # fmt: skip
    with process.stdout, process.stdin:
        process.stdout.readline()
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM


# --- bad input, in this process ---------------------------------------------------------------

GOOD = ["--attack", "no_perturbation", "--victim", "convnet3-digits_0_4-s0",
        "--set", "data.dataset=digits_5_9", "--set", "data.train_size=60",
        "--set", "data.poisons=3"]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--attack", "bullseye_politope"], ["bullseye_politope"]),
        (["--set", "attack.eps_255=-3", "--set", "attack.name=feature_collision"], ["eps_255"]),
        (["--set", "attack.speed=3"], ["attack", "speed"]),
        (["--set", "trials=0"], ["trials"]),
        (["--set", "data.base_class=\"5\"", "--set", "data.target_class=\"5\""],
         ["data.base_class", "target class"]),
        (["--set", "data.poisons=50"], ["data.poisons"]),
        (["--set", "victims.3.checkpoint=x"], ["victims.3.checkpoint"]),
        (["--set", "nonsense"], ["--set"]),
        (["--victim", "convnet3-digits-s0"], ["convnet3-digits_0_4-s0"]),
        (["--set", "data.dataset=cifar10"], ["data.dataset", "cifar-10-batches-py"]),
    ],
    ids=lambda value: " ".join(value)[:40],
)  # fmt: skip
def test_bad_input_is_one_message_that_names_the_field(arguments, words, tmp_path, capsys):
    places = ["--out", str(tmp_path), "--data-dir", str(tmp_path)]
    fake_checkpoint(tmp_path)
    status = cli.main(["run", *GOOD, *arguments, *places])
    said = capsys.readouterr()
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert status == 2
    assert errors and all(word in said.err for word in words), said.err
    assert "Traceback" not in said.err and not said.out


def fake_checkpoint(folder):
    from poisoning.models import build, store

    card = store.Card(
        name="c", model="convnet3", num_classes=5, image_size=32, dataset="digits_0_4",
        dataset_md5="", mean=(0.5,) * 3, std=(0.5,) * 3, clean_accuracy=0.2, test_images=251,
    )  # fmt: skip
    path = folder / "checkpoints" / "convnet3-digits_0_4-s0.safetensors"
    store.save(path, build("convnet3", 5, seed=0), card)
    return path


def test_a_spec_that_cannot_be_read(tmp_path, capsys):
    (tmp_path / "spec.json").write_text("{")
    (tmp_path / "spec.yaml").write_text("attack: *a")
    for name in ("spec.json", "nothing.json", "spec.yaml"):
        assert cli.main(["run", str(tmp_path / name)]) == 2
        assert capsys.readouterr().err.startswith("error: spec: ")


def test_run_prints_rates_with_error_n_interval_and_twins(tmp_path, capsys):
    fake_checkpoint(tmp_path)
    fast = ["--set", "trials=3", "--set", "victims.0.recipe.epochs=2"]
    assert cli.main(["run", *GOOD, *fast, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    header, row = said.out.splitlines()
    assert header.split("  ")[0] == "attack" and "95 % interval" in header
    assert "+-" in row and "[" in row and "No perturbation (control)" in row
    (path,) = (tmp_path / "experiments").glob("*/results.json")
    stored = json.loads(path.read_text())
    assert len(stored["trials"]) == 3


@pytest.mark.parametrize(("name", "written"), [("a.json", json.dumps), ("a.yaml", spec_yaml.dump)])
def test_run_takes_a_spec_file(tmp_path, capsys, name, written):
    fake_checkpoint(tmp_path)
    spec = {
        "attack": {"name": "no_perturbation"},
        "victims": [
            {"regime": "frozen", "checkpoint": "convnet3-digits_0_4-s0", "recipe": {"epochs": 1}}
        ],
        "data": {"dataset": "digits_5_9", "train_size": 60, "poisons": 3},
        "trials": 5,
    }
    path = tmp_path / name
    path.write_text(written(spec))
    assert cli.main(["run", str(path), "--set", "trials=1", "--out", str(tmp_path)]) == 0
    assert " 1 " in capsys.readouterr().out.splitlines()[1]


def test_accuracy_measures_a_checkpoint(tmp_path, capsys):
    path = fake_checkpoint(tmp_path)
    assert cli.main(["accuracy", str(path)]) == 0
    assert "of 251 test images of Digits 0 to 4" in capsys.readouterr().out
    assert cli.main(["accuracy", str(tmp_path / "none.safetensors")]) == 2
    assert (
        cli.main(["accuracy", str(path), "--dataset", "cifar100", "--data-dir", str(tmp_path)]) == 2
    )


def test_data_is_checked(tmp_path, capsys):
    assert cli.main(["data", "check", "digits_5_9"]) == 0
    assert "650 training, 246 test images" in capsys.readouterr().out
    assert cli.main(["data", "check", "cifar10", "--data-dir", str(tmp_path)]) == 2
    assert cli.main(["data", "check", "cifar11"]) == 2
    assert "cifar10" in capsys.readouterr().err


def test_pretrain_and_study_refuse_unknown_names(capsys):
    assert cli.main(["pretrain", "resnet19"]) == 2
    assert cli.main(["study", "demonstratoin"]) == 2
    assert "did you mean demonstration?" in capsys.readouterr().err
    assert cli.main(["study", "demonstration", "--profile", "paper"]) == 2
    assert capsys.readouterr().err.startswith("error: profile: ")


def test_the_demonstration_in_its_smoke_profile(tmp_path, capsys):
    assert cli.main(["study", "demonstration", "--profile", "smoke", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    rates = said.out.split("Settings")[0].splitlines()
    assert sum(line.startswith(("Control", "FC", "BP")) for line in rates) == 3 * 2
    assert said.err.count("done in") == 2 + 3  # two extractors, three experiments
    # a second run trains no extractor again
    assert cli.main(["pretrain", "convnet3-digits_0_4-s0", "--out", str(tmp_path)]) == 0
    assert "done in" not in capsys.readouterr().err
