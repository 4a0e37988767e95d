"""The set for one device: runs whole in small, goes on where it ended, and says what is missing."""

import json

import pytest

from benchmarks import device
from poisoning import work


def run(out, monkeypatch, *arguments):
    given = ["device", "--size", "toy", "--device", "cpu", "--out", str(out), *arguments]
    monkeypatch.setattr("sys.argv", given)
    return device.main()


def test_it_runs_whole_and_a_second_call_runs_no_trial(tmp_path, monkeypatch, capsys):
    assert run(tmp_path, monkeypatch) == 0
    first = json.loads((tmp_path / "device.json").read_text())
    names = [row["name"] for row in first["rows"]]
    assert len(names) == 6 and all(row["seconds"] > 0 for row in first["rows"])
    assert first["provenance"]["device"] and first["size"] == "toy"

    notes = next(tmp_path.glob("*/trials.jsonl"))
    kept = notes.read_text()
    notes.write_text(kept[:-40])  # cut off in its last line: that trial alone is run again
    ran = []
    execute = work.execute
    monkeypatch.setattr(work, "execute", lambda job, emit: (ran.append(job), execute(job, emit))[1])
    assert run(tmp_path, monkeypatch) == 0
    jobs = [job.indices for job in ran if job.kind == "trials"]
    assert jobs == [(len(kept.splitlines()) - 1,)]
    second = json.loads((tmp_path / "device.json").read_text())
    assert [row["found"] for row in second["rows"]][2:] == [r["found"] for r in first["rows"]][2:]


def test_without_a_gpu_it_says_so(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="'cuda:77' cannot be used here"):
        run(tmp_path, monkeypatch, "--device", "cuda:77")
