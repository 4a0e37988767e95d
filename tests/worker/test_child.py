"""The batch process: what it is told, what it may know, and that it can always be ended."""

import json
import os
import sys
import textwrap
import time
from pathlib import Path

import pytest

from poisoning.events import Done, Log
from tests.worker.bench import is_alive, wait_until
from worker.child import Child, Ended, Garbled, environment
from worker.folder import result_file


def start(tmp_path: Path, code: str) -> Child:
    script = tmp_path / "child.py"
    script.write_text(textwrap.dedent(code))
    return Child(tmp_path / "job.json", command=(sys.executable, "-S", str(script)))


def everything(child: Child) -> list[object]:
    """All it says until it has ended."""
    said: list[object] = []
    while not said or not isinstance(said[-1], Ended):
        if (one := child.next(10)) is None:
            raise AssertionError(f"silent after {said}")
        said.append(one)
    return said


def test_it_is_given_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("DOSIMETER_DATABASE_URL", "DOSIMETER_BROKER_URL", "DOSIMETER_TOKEN", "AWS_SECRET")
    for name in (*secrets, "PGPASSWORD", "POSTGRES_PASSWORD", "UNKNOWN"):
        monkeypatch.setenv(name, "hunter2")
    child = start(
        tmp_path,
        """
        import json, os
        print(json.dumps({"event": "log", "message": json.dumps(dict(os.environ))}), flush=True)
        """,
    )
    first = everything(child)[0]
    assert isinstance(first, Log) and "hunter2" not in first.message
    assert json.loads(first.message)["PATH"] == os.environ["PATH"]


def test_threads_and_devices_are_passed_on() -> None:
    told = environment({"CUDA_VISIBLE_DEVICES": "1", "HOME": "/h", "SECRET_KEY": "s"}, threads=3)
    assert told["CUDA_VISIBLE_DEVICES"] == "1" and told["OMP_NUM_THREADS"] == "3"
    assert "SECRET_KEY" not in told


def test_events_come_in_order_and_the_end_comes_last(tmp_path: Path) -> None:
    said = everything(
        start(
            tmp_path,
            """
            import sys
            print('{"event": "log", "message": "one"}')
            print("what is this")
            print('{"event": "done", "seconds": 1.0, "surprise": 2}')
            print('{"event": "done", "seconds": 1.0}', flush=True)
            print("last words", file=sys.stderr)
            sys.exit(7)
            """,
        )
    )
    assert isinstance(said[0], Log)
    assert isinstance(said[1], Garbled) and said[1].line == "what is this"
    assert isinstance(said[2], Garbled), "an unknown field is no event of ours"
    assert isinstance(said[3], Done)
    assert said[4] == Ended(7, "last words")


def test_its_whole_group_is_ended(tmp_path: Path) -> None:
    child = start(
        tmp_path,
        """
        import os, signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        other = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
        open("other", "w").write(str(other.pid))
        print('{"event": "log", "message": "ready"}', flush=True)
        time.sleep(60)
        """,
    )
    assert isinstance(child.next(10), Log)
    other = int((tmp_path / "other").read_text())
    began = time.monotonic()
    child.stop(grace_s=0.3)
    assert time.monotonic() - began < 2
    wait_until(lambda: not is_alive(child.pid) and not is_alive(other), 2)


def test_a_flood_of_events_does_not_hold_up_the_end(tmp_path: Path) -> None:
    child = start(
        tmp_path,
        """
        while True:
            print('{"event": "log", "message": "again and again"}', flush=True)
        """,
    )
    time.sleep(0.5)
    child.stop(grace_s=0.3)
    wait_until(lambda: not is_alive(child.pid), 2)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "link", "missing"])
def test_results_lie_in_the_jobs_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    (tmp_path / "secret").touch()
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(ValueError, match="no result file"):
        result_file(folder, name)
