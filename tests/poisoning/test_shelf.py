"""Features on disk: the same bits with and without, over processes, after a kill, after damage."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from poisoning.cache import Cache
from poisoning.data.augment import CENTRE, draw_views
from poisoning.victim_params import FrozenVictim, Recipe
from poisoning.victims import features, frozen
from poisoning.victims.features import FeatureTable
from poisoning.victims.shelf import KIND, Shelf
from tests.poisoning import tiny
from tests.poisoning.bench import Bench, victim_batch

VICTIM = FrozenVictim(checkpoint="plain", recipe=Recipe(epochs=3, batch_size=32))


def table(digits, folder, checkpoint="a" * 64, **knobs):
    cache = Cache(folder)
    mean = knobs.pop("mean", tiny.MEAN)
    return FeatureTable(
        tiny.plain_net(), digits, mean, tiny.STD, tiny.CPU,
        cache=cache, checkpoint=checkpoint, **knobs,
    )  # fmt: skip


def drawn(n, seed=1):
    return torch.arange(n), draw_views(torch.Generator().manual_seed(seed), n)


@pytest.fixture
def computed(monkeypatch):
    """How many features each call computed."""
    found, alike = [], FeatureTable._alike

    def counted(self, images, views):
        found.append(len(images))
        return alike(self, images, views)

    monkeypatch.setattr(FeatureTable, "_alike", counted)
    return found


def judged(digits, folder, cache, batch):
    bench = Bench(digits, folder, cache=cache, checkpoint="a" * 64)
    return frozen.train_and_judge(VICTIM, bench, batch)


def test_verdicts_are_the_same_to_the_last_bit_without_with_and_from_disk(
    digits, tmp_path, computed
):
    batch = victim_batch(digits)
    without = judged(digits, tmp_path, None, batch)
    assert sum(computed) > 100
    first = judged(digits, tmp_path, tmp_path / "cache", batch)
    computed.clear()
    again = judged(digits, tmp_path, tmp_path / "cache", batch)
    assert computed == []
    assert without == first == again
    # a part of it on disk: other trials ask for other images in the same epochs
    partly = judged(digits, tmp_path, tmp_path / "part", batch.only(2))
    assert partly == judged(digits, tmp_path, None, batch.only(2))
    assert judged(digits, tmp_path, tmp_path / "part", batch) == without


def test_a_feature_has_the_same_bits_whatever_it_is_computed_with(digits):
    ids, views = drawn(100)
    whole = table(digits, None).lookup(ids, views)
    by_parts = table(digits, None)
    for part in (ids[:1], ids[1:70], ids):
        found = by_parts.lookup(part, features.Views(*(view[part] for view in views)))
        assert torch.equal(found, whole[part])


def test_one_process_finds_what_another_put_there(digits, tmp_path, computed):
    ids, views = drawn(30)
    one, two = table(digits, tmp_path), table(digits, tmp_path)
    expected = one.lookup(ids, views)
    one.flush()
    assert one.used == 0 and torch.equal(one.lookup(ids, views), expected)
    computed.clear()
    assert torch.equal(two.lookup(ids, views), expected)
    test = one.test()
    one.flush()
    assert torch.equal(two.test(), test)
    assert computed == [len(digits.test)]
    assert torch.equal(two.test(), two.compute(digits.test.images, size=64)[: len(test)])


@pytest.mark.parametrize(
    "other", [{"checkpoint": "b" * 64}, {"mean": (0.1,) * 3}], ids=["checkpoint", "normalisation"]
)
def test_another_network_or_normalisation_has_a_shelf_of_its_own(digits, tmp_path, computed, other):
    ids, views = drawn(10)
    one = table(digits, tmp_path)
    one.lookup(ids, views)
    one.flush()
    table(digits, tmp_path, **other).lookup(ids, views)
    assert computed == [10, 10]


@pytest.mark.parametrize("damage", ["flipped", "short", "empty"])
def test_a_damaged_file_is_dropped_and_made_anew(digits, tmp_path, computed, damage):
    ids, views = drawn(20)
    one = table(digits, tmp_path)
    expected = one.lookup(ids, views)
    one.flush()
    (path,) = (tmp_path / KIND).iterdir()
    text = bytearray(path.read_bytes())
    text[-5] ^= 1
    path.write_bytes({"flipped": text, "short": text[:-40], "empty": b""}[damage])
    two = table(digits, tmp_path)
    assert torch.equal(two.lookup(ids, views), expected)
    assert computed == [20, 20] and not path.exists()
    two.flush()
    assert torch.equal(table(digits, tmp_path).lookup(ids, views), expected)
    assert computed == [20, 20]


def test_what_was_evicted_is_computed_again_and_what_is_open_stays(digits, tmp_path, computed):
    ids, views = drawn(20)
    one = table(digits, tmp_path)
    expected = one.lookup(ids, views)
    one.flush()
    for path in (tmp_path / KIND).iterdir():
        path.unlink()
    assert torch.equal(one.lookup(ids, views), expected)
    assert torch.equal(table(digits, tmp_path).lookup(ids, views), expected)
    assert computed == [20, 20]


def test_a_disk_without_room_costs_the_disk_only(digits, tmp_path, computed, monkeypatch):
    def fails(self, kind, key, write):
        raise OSError("no space left on device")

    monkeypatch.setattr(Cache, "put", fails)
    ids, views = drawn(20)
    one = table(digits, tmp_path)
    expected = one.lookup(ids, views)
    one.flush()
    assert torch.equal(one.lookup(ids, views), expected) and computed == [20]


def test_much_is_put_away_before_the_end(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "SHELVED_BYTES", 4 * 48 * 15)
    one = table(digits, tmp_path)
    one.lookup(*drawn(20))
    assert one.used == 0 and len(Cache(tmp_path).names(KIND, "")) == 1


WRITER = """
    import sys
    import numpy as np
    from poisoning.cache import Cache
    from poisoning.victims.shelf import Shelf

    shelf, first = Shelf(Cache(sys.argv[1]), {"of": "test"}, 4096), int(sys.argv[2])
    print("ready", flush=True)
    for number in range(first, first + int(sys.argv[3])):
        shelf.put(np.array([number]), np.full((1, 4096), number, np.float32))
"""


def writer(folder, first, count):
    code = textwrap.dedent(WRITER)
    command = [sys.executable, "-c", code, str(folder), str(first), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def read(folder):
    """Every record whole: its feature is its key, over and over."""
    found = {}
    for records in Shelf(Cache(folder), {"of": "test"}, 4096).news():
        for record in records:
            assert (record["feature"] == record["key"]).all()
            found[int(record["key"])] = True
    return set(found)


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    writers = [writer(tmp_path, first, 40) for first in (0, 20, 40)]
    assert [process.wait(60) for process in writers] == [0, 0, 0]
    assert read(tmp_path) == set(range(80))


def test_a_writer_that_is_killed_leaves_whole_files_only(tmp_path):
    process = writer(tmp_path, 0, 10**9)
    assert process.stdout is not None
    process.stdout.readline()
    while len(Cache(tmp_path).names(KIND, "")) < 5:
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    found = read(tmp_path)
    assert found == set(range(len(found))) and len(found) >= 5


def test_the_centre_is_the_image_itself(digits):
    one, ids = table(digits, None), torch.arange(70)
    plain = one.compute(digits.train.images[:70])
    assert np.allclose(one.lookup(ids, CENTRE.of(70)), plain, atol=1e-6)
