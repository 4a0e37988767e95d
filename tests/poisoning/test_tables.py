import csv
import io
import json
import re

import pytest

from poisoning import tables
from poisoning.published import CIFAR10_TRANSFER, NOTHING, REPORTED, SGD, WHITE
from poisoning.stats import paired_excess, wilson
from poisoning.tables import Cell, Table


def cell(row, hits, n=20, **more):
    return Cell(
        row=row, column="white_box 100 % & more", experiment="Of | it", victims=(0,), planned=20,
        n=n, access="white box", successes=hits, interval=wilson(hits, n), twin_successes=1,
        excess=hits / n - 1 / n, excess_interval=paired_excess(1, hits - 1, 0, n - hits)[1],
        clean_accuracy=0.8, twin_clean_accuracy=0.9, linf_255=8, ssim=0.98, **more,
    )  # fmt: skip


@pytest.fixture
def table():
    missing = Cell("BP #1", "x", "None yet", (0, 1), planned=20)
    known = cell("CP", 7, published=CIFAR10_TRANSFER["CP", WHITE], verdict="agrees", note="a_b|c")
    return Table.of_cells("Rates & more", (known, cell("=FC {2}", 15, 19), missing), ("A note.",))


def expected(table):
    return [list(table.header), *map(list, table.lines)]


def test_a_line_says_what_its_cell_holds(table):
    shown = dict(zip(table.header, table.lines[0], strict=True))
    assert shown["n"] == "20" and shown["access"] == "white box"
    assert shown["success %"].startswith("35.0 ± 10.") and shown["95 % interval"] == "[18.1, 56.7]"
    assert shown["twin %"] == "5.0" and shown["excess"].startswith("+30.0 [+")
    assert (shown["clean %"], shown["drop"]) == ("80.0", "+10.0")
    assert (shown["largest change"], shown["published"]) == ("8/255", "33")
    unfinished = dict(zip(table.header, table.lines[1], strict=True))
    assert unfinished["n"] == "19 of 20" and unfinished["success %"].startswith("78.9")
    assert unfinished["published"] == "-"


def test_an_experiment_without_trials_has_a_line_without_rates(table):
    shown = dict(zip(table.header, table.lines[2], strict=True))
    assert shown["n"] == "0 of 20"
    assert {shown[name] for name in ("success %", "95 % interval", "excess", "clean %")} == {"-"}


def test_columns_nobody_fills_are_left_out():
    made = Table.of_cells("Plain", (cell("CP", 7),))
    assert "published" not in made.header and "note" not in made.header
    assert len(made.lines[0]) == len(made.header)


def test_what_is_published_is_shown_with_how_far_it_can_be_trusted():
    assert tables.published_in_words(NOTHING) == "-"
    assert "unverified" in tables.published_in_words(REPORTED["CP"])
    words = tables.published_in_words(SGD["CP"])
    assert "lower" in words and "quoted" in words


def test_text_shows_the_lines(table):
    shown = tables.to_text(table).splitlines()
    assert shown[0] == table.title and shown[-1] == "A note."
    rows = [re.split(r"\s{2,}", line) for line in shown[2 : 3 + len(table.lines)]]
    assert rows == expected(table)


def test_markdown_shows_the_same(table):
    rows = [
        [word.strip().replace(r"\|", "|") for word in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in tables.to_markdown(table).splitlines()
        if line.startswith("|")
    ]
    assert [row for row in rows if set(row) != {"---"}] == expected(table)


def test_latex_shows_the_same(table):
    text = tables.to_latex(table)
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 1
    rows = [
        [plain(word) for word in re.split(r"(?<!\\)&", line.removesuffix(r" \\"))]
        for line in text.splitlines()
        if line.endswith(r" \\")
    ]
    assert rows == expected(table)


def plain(word):
    word = word.strip().replace(r"$\pm$", "±")
    return re.sub(r"\{([+\[\]])\}", r"\1", re.sub(r"\\([&%$#_{}])", r"\1", word))


def test_csv_shows_the_same_but_never_a_formula(table):
    rows = list(csv.reader(io.StringIO(tables.to_csv(table))))
    assert rows[2][0] == "'=FC {2}"
    rows[2][0] = "=FC {2}"
    assert rows == expected(table)


def test_json_has_the_words_and_the_numbers_behind_them(table):
    read = json.loads(tables.to_json(table))
    assert [read["header"], *read["lines"]] == expected(table)
    assert [each["row"] for each in read["cells"]] == ["CP", "=FC {2}", "BP #1"]
    first = read["cells"][0]
    assert first["successes"] == 7 and first["interval"]["low"] == wilson(7, 20).low
    assert first["published"]["percent"] == 33 and first["experiment"] == "Of | it"


def test_every_form_has_a_name():
    assert set(tables.FORMS) == {"txt", "md", "tex", "csv", "json"}
