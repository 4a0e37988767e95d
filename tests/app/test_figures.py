"""Figures for papers: of what a page draws, in three forms, the same bytes every time."""

import io
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.db import Database
from app.errors import Invalid
from app.services import figures
from app.services.exports import Bar, Cell, Column, Origin, Span, Table
from app.settings import Settings
from poisoning import params, stats
from tests.app import rows

ORIGIN = Origin("https://bench.example.org/leaderboard", datetime(2026, 11, 23, tzinfo=UTC), "abc")
COLUMNS = [
    Column("attack", "Attack", "Budget", is_number=False),
    Column("victim", "Victim", is_number=False),
    Column("success", "Success, % ± SE"),
    Column("axis", "Success", is_axis=True),
]
LONG = "Hidden-Trigger Backdoor, as the reference code does it & <more>"


def bar(successes: int, n: int, published: float | None = None) -> Bar:
    around, clean = stats.wilson(successes, n), stats.wilson(0, n)
    mine = Span(successes / n, around.low, around.high, n)
    return Bar(mine, Span(0, clean.low, clean.high, n), "#0072b2", "diamond-open", published)


@pytest.fixture
def board() -> Table:
    lines = [("Bullseye Polytope", 85), (LONG, 2), ("Feature Collision", 16)]
    return Table(
        "leaderboard",
        "CIFAR-10, frozen",
        COLUMNS,
        [
            [Cell(name, "eps 8/255"), Cell(victim), Cell(f"{k}.0 ± 3.6"), Cell("", bar=bar(k, 100))]
            for victim in ("ResNet-18", "VGG11")
            for name, k in lines
        ],
    )


def texts(svg: bytes) -> list[str]:
    tree = ElementTree.fromstring(svg)
    return ["".join(one.itertext()) for one in tree.iter("{http://www.w3.org/2000/svg}text")]


def test_an_svg_says_in_text_what_the_table_says(board: Table) -> None:
    said = texts(figures.draw(board, "svg", "page", ORIGIN))
    assert [said.count(one) for one in ("85.0 ± 3.6", "2.0 ± 3.6", "16.0 ± 3.6")] == [2, 2, 2]
    assert {"ResNet-18", "VGG11", "CIFAR-10, frozen", ORIGIN.permalink} <= set(said)
    whole = " ".join(said)
    assert all(word in whole for word in LONG.split()), "a long name is wrapped, never cut"
    assert "n = 100; bars are 95 % intervals" in whole and "published" not in whole


def test_marks_stand_where_the_rates_are(board: Table) -> None:
    """Along the axis: the distance of two marks is that of their rates."""
    svg = figures.draw(board, "svg", "page", ORIGIN).decode()
    used = re.findall(r'<use xlink:href="#\w+" x="([\d.]+)" y="[\d.]+" style="fill: #fff', svg)
    marks = [float(x) for x in used]
    rates = [0] * 6 + [85, 2, 16] * 2  # the twins lie below
    assert len(marks) == len(rates)
    scale = (marks[6] - marks[0]) / 85
    assert marks == pytest.approx([marks[0] + scale * rate for rate in rates], abs=0.01)


def test_a_pdf_names_its_origin_and_a_png_has_its_size(board: Table) -> None:
    pdf = figures.draw(board, "pdf", "column", ORIGIN)
    assert pdf.startswith(b"%PDF") and ORIGIN.permalink.encode() in pdf and b"/CIDFontType2" in pdf
    for width, inches in figures.WIDTHS.items():
        image = Image.open(io.BytesIO(figures.draw(board, "png", width, ORIGIN)))
        assert image.width == pytest.approx(inches * figures.DPI, abs=1)
        assert ORIGIN.permalink in image.info["Description"]  # type: ignore[attr-defined]


def test_the_same_table_has_the_same_bytes_from_many_threads(board: Table) -> None:
    wanted = [(form, width) for form in figures.FORMS for width in figures.WIDTHS]
    once = [figures.draw(board, *one, ORIGIN) for one in wanted]
    with ThreadPoolExecutor(8) as pool:
        again = list(pool.map(lambda one: figures.draw(board, *one, ORIGIN), wanted * 2))
    assert again == once * 2


def test_a_published_value_is_a_mark_of_its_own(board: Table) -> None:
    row = [*board.rows[0][:3], Cell("", bar=bar(85, 100, published=0.9))]
    table = Table("leaderboard", "One", COLUMNS, [row])
    assert "open circles published" in " ".join(texts(figures.draw(table, "svg", "page", ORIGIN)))


@pytest.mark.parametrize(
    ("form", "width", "field"), [("gif", "page", "format"), ("pdf", "poster", "width")]
)
def test_what_there_is_not_is_named(board: Table, form: str, width: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        figures.draw(board, form, width, ORIGIN)
    assert [error.field for error in refused.value.errors] == [field]


def test_nothing_measured_is_no_empty_figure(board: Table) -> None:
    with pytest.raises(Invalid, match="drawn yet"):
        figures.draw(Table("leaderboard", "Empty", COLUMNS, []), "pdf", "page", ORIGIN)


def test_pages_offer_what_they_draw(
    client: TestClient, database: Database, settings: Settings
) -> None:
    with database.write() as session:
        rows.ready_checkpoints(session)
        rows.launched(session, settings, params.BullseyePolytope(eps_255=32), done=6)
        rows.launched(session, settings, params.FeatureCollision(eps_255=32), done=6)
    as_page = {"Accept": "text/html"}
    for page, key in (("/leaderboard?", "leaderboard"), ("/compare?ids=1,2", "rates")):
        text = client.get(page, headers=as_page).text
        links = re.findall(rf'href="([^"]*table={key}[^"]*format=(?:pdf|svg|png)[^"]*)"', text)
        assert len(links) == 4, page
        for link in links:
            got = client.get(link.replace("&amp;", "&"), headers=as_page)
            assert got.status_code == 200 and len(got.content) > 2000, link
            assert got.headers["content-type"] in figures.FORMS.values()
    refused = client.get("/compare?ids=1,2&table=differences&format=pdf")
    assert refused.status_code == 422 and "drawn yet" in refused.text
