"""Weights trained elsewhere, from the upload to the checkpoint, read by the real batch process."""

import io
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load_file
from sqlalchemy import select

from app.columns import now
from app.models import Checkpoint
from app.services import adopting, checkpoints
from app.services.adopting import Upload
from app.storage import Store
from tests.worker.bench import Bench
from worker import child
from worker.runtime import Runtime
from worker.tasks import work


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def saved(value: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def bring(bench: Bench, content: bytes, **asked: str) -> None:
    given = {"model": "convnet3", "dataset": "digits_0_4"} | asked
    upload = Upload(io.BytesIO(content), "theirs.pth")
    store = Store(bench.settings.artifacts_dir)
    with bench.database.write() as session:
        adopting.adopt(session, store, bench.settings, "theirs", given, upload, now())


def found(bench: Bench) -> Checkpoint:
    with bench.database.read() as session:
        return session.scalars(select(Checkpoint).where(Checkpoint.name == "theirs")).one()


def uploads(bench: Bench) -> list[Path]:
    return list(bench.settings.artifacts_dir.rglob("*.upload"))


def test_weights_become_a_checkpoint_with_a_measured_accuracy(bench: Bench) -> None:
    from poisoning.models import build

    net = build("convnet3", 5, seed=1)
    names = {f"module.{key}": value for key, value in net.state_dict().items()}
    bring(bench, saved({"net": names, "epoch": 3}))
    assert work(Runtime(bench.settings)) == 1
    row = found(bench)
    assert row.state == "ready" and row.error is None and row.card is not None
    assert row.clean_accuracy == row.card["clean_accuracy"] and row.card["recipe"] is None
    path = Store(bench.settings.artifacts_dir).path("checkpoints", row.sha256 or "")
    kept = load_file(path)["linear.weight"]
    assert (kept == net.linear.weight.detach().numpy()).all()
    assert uploads(bench) == [] and not list(bench.settings.work_dir.glob("job-*"))


def test_a_file_with_code_fails_in_words_and_another_model_may_be_tried(
    bench: Bench, tmp_path: Path
) -> None:
    bring(bench, saved({"linear.weight": Hostile(tmp_path / "canary")}))
    work(Runtime(bench.settings))
    row = found(bench)
    assert row.state == "failed" and row.error is not None
    assert row.error.startswith("file: theirs.pth holds more than tensors")
    assert "save its state_dict alone" in row.error
    assert not (tmp_path / "canary").exists() and uploads(bench)


def test_a_killed_child_is_started_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one is killed before it says a word; what it was to read is still there."""
    marks = bench.marks
    monkeypatch.setattr(
        child,
        "COMMAND",
        ("sh", "-c", f'echo x >> {marks}/tries; [ $(wc -l < {marks}/tries) -gt 1 ] || kill -9 $$; '
         f'exec {" ".join(bench.child_command)} "$0"'),
    )  # fmt: skip
    bring(bench, b"weights")
    work(Runtime(bench.settings))
    assert found(bench).state == "ready" and (marks / "tries").read_text() == "x\nx\n"


def test_an_upload_that_is_gone_is_said(bench: Bench) -> None:
    bring(bench, b"weights")
    for path in uploads(bench):
        path.unlink()
    work(Runtime(bench.settings))
    row = found(bench)
    assert row.state == "failed"
    assert row.error == (
        "file: theirs.pth is not kept any more; bring it in again, under the same name"
    )
    with bench.database.write() as session:
        checkpoints.retry(session, "theirs")
    assert found(bench).state == "queued"
