"""Under what every outcome was made: said with it, also where an earlier attempt made it."""

import json
import subprocess

import pytest
import torch

from poisoning import crafting, devices, source, trial
from poisoning.events import EVENT
from poisoning.spec import spec_hash
from tests.poisoning import jobs

CPU = torch.device("cpu")
ELSEWHERE = {"hardware": "another machine"}


def run(job):
    heard = jobs.Heard()
    trial.run(job, heard)
    return heard.trials()


def test_a_trial_says_under_what_it_was_made(tmp_path, digits):
    job = jobs.job(tmp_path, jobs.spec(trials=2))
    first, second = run(job)
    found = first.provenance
    assert found["spec_hash"] == spec_hash(job.spec) and found["seed"] == job.spec.seed
    assert found["dataset"] == {"name": "digits_5_9", "md5": digits.md5}
    assert set(found["checkpoints"]) == set(jobs.NAMES)
    assert all(len(sha256) == 64 for sha256 in found["checkpoints"].values())
    assert found["precision"] == {"asked": "exact", "computes": "float32"}
    assert found["program"]["version"] and found["versions"]["torch"] == str(torch.__version__)
    assert all(one.provenance == found for one in (second, *first.outcomes))
    assert EVENT.validate_json(first.model_dump_json()) == first


def test_time_is_taken_by_the_clock_and_of_the_device(tmp_path):
    (done,) = run(jobs.job(tmp_path, jobs.spec(trials=1)))
    assert done.craft_seconds > 0 and done.craft_device_seconds > 0
    assert all(outcome.device_seconds > 0 for outcome in done.outcomes)


def test_time_is_shared_by_trials_that_were_worked_on_together():
    watch = devices.Stopwatch(CPU)
    torch.randn(200, 200) @ torch.randn(200, 200)
    alone, shared = watch.spent(), watch.spent(1000)
    assert 0 < shared.seconds < alone.seconds
    assert 0 <= shared.device_seconds <= alone.device_seconds


def notes(folder, kind):
    return list((folder / "work" / kind).glob("*.json"))


def test_poisons_of_an_earlier_attempt_keep_their_provenance(tmp_path):
    job = jobs.job(tmp_path, jobs.spec(trials=1))
    run(job)
    (note,) = notes(tmp_path, "crafted")
    about = json.loads(note.read_text())
    note.write_text(json.dumps(about | {"provenance": ELSEWHERE}))
    (again,) = run(job)
    assert again.provenance == ELSEWHERE
    assert all(outcome.provenance["versions"] for outcome in again.outcomes)


def test_a_note_of_an_earlier_version_is_not_given_a_provenance(tmp_path):
    job = jobs.job(tmp_path, jobs.spec(trials=1))
    run(job)
    (note,) = notes(tmp_path, "crafted")
    about = json.loads(note.read_text())
    note.write_text(json.dumps({k: about[k] for k in ("file", "seconds", "final_loss")}))
    (again,) = run(job)
    assert again.provenance == crafting.FORGOTTEN and again.craft_device_seconds is None


def test_what_a_precision_comes_to_is_said(monkeypatch):
    monkeypatch.setattr(devices, "has_bf16", lambda kind: kind != "cpu")
    assert devices.computes(CPU, "exact") == devices.computes(CPU, "fast") == "float32"
    assert "bfloat16" in devices.computes(torch.device("cuda"), "fast")
    assert devices.computes(torch.device("cuda"), "exact") == "float32"


@pytest.fixture
def asked(monkeypatch):
    """source() anew, after this test too."""
    source.source.cache_clear()
    yield source.source
    source.source.cache_clear()


def git(folder, *arguments):
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_and_whether_files_were_changed(asked, monkeypatch, tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("a")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "first")
    monkeypatch.setattr(source, "ROOT", tmp_path)
    head = git(tmp_path, "rev-parse", "HEAD")
    clean = asked()
    assert (clean.commit, clean.is_dirty, clean.short) == (head, False, head[:12])
    asked.cache_clear()
    (tmp_path / "file").write_text("b")
    assert asked().is_dirty and asked().short == f"{head[:12]}, changed"


def test_a_checkout_around_the_installed_program_is_not_its_source(asked, monkeypatch, tmp_path):
    git(tmp_path, "init", "-q")
    inside = tmp_path / "site-packages"
    inside.mkdir()
    monkeypatch.setattr(source, "ROOT", inside)
    assert asked().commit is None and asked().is_dirty is None and asked().short == "not known"
