"""The cache: whole entries or none, the oldest go first, nothing where there is no folder."""

import os
import time

import pytest

from poisoning.cache import Cache


def write(text):
    return lambda path: path.write_text(text)


def test_an_entry_is_found_under_its_kind_and_key(tmp_path):
    cache = Cache(tmp_path / "cache")
    assert cache.find("twins", "a") is None
    cache.put("twins", "a", write("one"))
    assert cache.find("twins", "a").read_text() == "one"
    assert cache.find("features", "a") is None
    cache.put("twins", "a", write("two"))
    assert cache.find("twins", "a").read_text() == "two"
    cache.drop("twins", "a")
    cache.drop("twins", "a")
    assert cache.find("twins", "a") is None


def test_what_could_not_be_written_leaves_nothing(tmp_path):
    cache = Cache(tmp_path)

    def fails(path):
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        cache.put("twins", "a", fails)
    assert list((tmp_path / "twins").iterdir()) == []


def test_the_least_recently_used_go_first(tmp_path):
    cache = Cache(tmp_path, limit_bytes=25)
    for age, key in enumerate(("old", "older", "oldest")):
        cache.put("twins", key, write("x" * 8))
        os.utime(tmp_path / "twins" / key, (1000 - age, 1000 - age))
    assert cache.find("twins", "oldest")  # counts as used just now
    cache.put("features", "new", write("x" * 8))
    kept = sorted(path.name for path in tmp_path.glob("*/*"))
    assert kept == ["new", "old", "oldest"]


def test_bulk_does_not_drive_out_what_is_small(tmp_path):
    cache = Cache(tmp_path, limit_bytes=30)
    cache.put("answers", "dear", write("x" * 5))
    os.utime(tmp_path / "answers" / "dear", (1, 1))
    for key in ("a", "b", "c", "d"):
        cache.put("features", key, write("x" * 10))
    assert cache.find("answers", "dear")
    assert len(cache.names("features", "")) == 2 and cache.find("features", "d")


def test_names_of_a_kind_are_listed_by_their_start(tmp_path):
    cache = Cache(tmp_path)
    assert cache.names("features", "one") == []
    for key in ("one.b", "one.a", "two.a"):
        cache.put("features", key, write("x"))
    (tmp_path / "features" / "one.c.17.part").write_text("half")
    assert cache.names("features", "one") == ["one.a", "one.b"]
    assert Cache(None).names("features", "one") == []


def test_what_a_killed_writer_left_is_cleared_away(tmp_path):
    cache = Cache(tmp_path)
    cache.put("features", "a", write("x"))
    for name, age in (("now.1.part", 0), ("killed.2.part", 7200)):
        (tmp_path / "features" / name).write_text("half")
        then = time.time() - age
        os.utime(tmp_path / "features" / name, (then, then))
    cache.put("features", "b", write("x"))
    assert sorted(path.name for path in (tmp_path / "features").iterdir()) == [
        "a", "b", "now.1.part"
    ]  # fmt: skip


def test_an_entry_larger_than_the_limit_stays_until_the_next(tmp_path):
    cache = Cache(tmp_path, limit_bytes=4)
    cache.put("twins", "large", write("x" * 8))
    assert cache.find("twins", "large")
    cache.put("twins", "next", write("x"))
    assert cache.find("twins", "large") is None and cache.find("twins", "next")


def test_without_a_folder_nothing_is_kept():
    cache = Cache(None)
    cache.put("twins", "a", write("one"))
    cache.drop("twins", "a")
    assert cache.find("twins", "a") is None
