"""The speed suite at toy size, and what it must notice."""

import itertools
import json

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import measure, plain, suite
from benchmarks.measure import Case, Check
from poisoning.ops import simplex


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    said = []
    return suite.run("toy", tmp_path_factory.mktemp("no data"), say=said.append), said


def test_both_sides_of_every_comparison_do_the_same_thing(found):
    document, said = found
    assert [row["name"] for row in document["rows"] if not row["holds"]] == []
    assert all(row["ratio"] > 0 and row["rounds"] > 0 for row in document["rows"])
    assert not any("DIFFERS" in text for text in said)


def test_every_part_of_the_bench_is_in_it(found):
    names = " / ".join(row["name"] for row in found[0]["rows"])
    for part in ("FC", "BP", "CP", "HTBD", "CLBD", "Witches' Brew", "simplex", "crop",
                 "training step", "frozen victims"):  # fmt: skip
        assert part in names
    assert {grown["of"] for grown in found[0]["growth"]} == {"trials", "poisons", "surrogates"}


def test_the_document_says_where_and_when(found):
    document = json.loads(json.dumps(found[0]))
    assert document["machine"]["hardware"] and document["machine"]["versions"]["torch"]
    assert len(document["machine"]["load_before"]) == 3
    assert isinstance(document["machine"]["has_bf16"], bool)
    assert document["date"].startswith("20") and document["size"]["name"] == "toy"


def case(plain_result, ours_result, calls=None, **changes):
    def side(name, result):
        def function():
            if calls is not None:
                calls.append(name)
            return result

        return function

    values = {
        "name": "a thing", "unit": "thing", "plain": side("plain", plain_result),
        "ours": side("ours", ours_result), "plain_units": 2, "ours_units": 4,
        "check": lambda a, b: Check(a == b, f"{a} and {b}"),
    }  # fmt: skip
    return Case(**values | changes)


def test_sides_take_turns_and_units_are_counted():
    calls, ticks = [], itertools.count()
    row = measure.measure(case(1, 1, calls, goal=3), rounds=3, clock=lambda: float(next(ticks)))
    assert calls[2:] == ["plain", "ours", "ours", "plain", "plain", "ours"]
    assert row.ratio == row.lowest == row.highest == 2  # a tick each, twice the units
    assert (row.plain_ms, row.ours_ms) == (500, 250)
    assert not row.is_met


def test_a_fast_way_to_another_result_is_called_out(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(suite, "GROUPS", {"parts": lambda stage: iter([case(1, 2)])})
    monkeypatch.setattr("sys.argv", ["benchmarks", "--size", "toy", "--only", "parts",
                                     "--data-dir", str(tmp_path),
                                     "--out", str(tmp_path / "found.json")])  # fmt: skip
    assert command.main() == 1
    assert "DIFFERS: 1 and 2" in capsys.readouterr().out
    assert json.loads((tmp_path / "found.json").read_text())["rows"][0]["holds"] is False


def test_the_plain_simplex_solver_finds_what_the_exact_one_finds():
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(8, 30, generator=generator)
    target = torch.rand(30, generator=generator)
    found = plain.least_squares_simplex(points, target, torch.full((8,), 1 / 8))
    exact = simplex.coefficients(points[None], target[None])[0]
    assert found.sum().item() == pytest.approx(1, abs=1e-5) and found.min() >= 0
    assert torch.allclose(found, exact, atol=1e-3)
