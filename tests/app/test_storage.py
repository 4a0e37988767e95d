"""Files are named by what is in them, and by nothing a client says."""

import hashlib
from pathlib import Path

import pytest

from app.storage import NotStored, Store
from tests.app import workbench as bench


def test_a_file_is_found_under_the_hash_of_its_content(tmp_path: Path) -> None:
    store = Store(tmp_path / "artifacts")
    stored = bench.store_file(store, tmp_path, b"poisons")
    assert stored.sha256 == hashlib.sha256(b"poisons").hexdigest()
    assert stored.size_bytes == 7
    assert store.path("poison_sets", stored.sha256).read_bytes() == b"poisons"
    assert bench.store_file(store, tmp_path, b"poisons") == stored
    assert [p.name for p in (tmp_path / "artifacts").rglob("*") if p.is_file()] == [
        f"{stored.sha256}.safetensors"
    ]


def test_a_card_stands_beside_its_checkpoint(tmp_path: Path) -> None:
    source = tmp_path / "x"
    source.write_bytes(b"weights")
    store = Store(tmp_path / "artifacts")
    stored = store.put("checkpoints", source, {"name": "x"})
    card = store.path("checkpoints", stored.sha256).with_suffix(".json")
    assert '"name": "x"' in card.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    ["", "..", "../../etc/passwd", "/etc/passwd", "%2e%2e", "A" * 64, "0" * 63, "0" * 64 + "\n"],
)
def test_what_is_no_hash_is_no_path(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path)
    with pytest.raises(NotStored):
        store.path("poison_sets", name)
    assert not tmp_path.joinpath("poison_sets").exists()


def test_a_copy_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "artifacts")
    with pytest.raises(FileNotFoundError):
        store.put("poison_sets", tmp_path / "is not there")
    assert [p for p in (tmp_path / "artifacts").rglob("*") if p.is_file()] == []
