"""Tables that are drawn and exported alike: of a comparison, of a pivot."""

from collections.abc import Callable, Sequence
from typing import Any

from app.queries.compare import Comparison, Pair, Side, VictimResult, flatten, p_value
from app.queries.tallies import Tally
from app.services.exports import Bar, Cell, Column, Table
from app.web import words
from poisoning import catalog, stats
from poisoning.spec import digest

AXIS = Column("axis", "Success and its 95 % interval, %", is_axis=True)


def mark(value: Any) -> str:
    """What follows a rate, or a difference, that has a confidence sequence."""
    return stats.MARK if value.interval == "confidence_sequence" else ""


def rate(value: Any) -> str:
    error = words.percent(value.standard_error)
    return f"{words.percent(value.rate)} ± {error}{mark(value)}"


def span(value: Any) -> str:
    return f"{words.percent(value.low)} to {words.percent(value.high)}{mark(value)}"


def excess(value: Any) -> str:
    return words.points(value.value)


def excess_span(value: Any) -> str:
    return f"[{words.points(value.low)}, {words.points(value.high)}]{mark(value)}"


def look(attack: str) -> tuple[str, str]:
    """Marker and colour of an attack."""
    known = catalog.ATTACKS.get(attack)
    return (known.marker, known.color) if known else ("circle", "#767676")


# --- a comparison ----------------------------------------------------------------------------


def differences(found: Comparison) -> Table:
    columns = [Column("field", "Field of the spec", is_number=False)]
    columns += [Column(side.letter, side.letter, is_number=False) for side in found.sides]
    rows = [
        [Cell(row.field), *(Cell(words.knob(value)) for value in row.values)]
        for row in found.differences
    ]
    return Table("differences", "What differs", columns, rows)


def results(found: Comparison) -> Table:
    """Side by side for each victim, the same victim's rates below each other."""
    sides = {side.letter: side for side in found.sides}
    order = list(dict.fromkeys((r.key, r.access) for r in found.results))
    ordered = sorted(found.results, key=lambda r: (order.index((r.key, r.access)), r.side))
    columns = [
        Column("side", "Experiment", is_number=False),
        Column("victim", "Victim", "Access", is_number=False),
        Column("success", "Success, % ± SE", "Trials"),
        AXIS,
        Column("interval", "95 % interval, %"),
        Column("twin", "Twin, %", "Twins"),
        Column("excess", "Excess over twin, points", "Its 95 % interval"),
        Column("clean", "Clean accuracy, %", "Against twin, points"),
    ]
    rows = [_result(sides[result.side], result) for result in ordered]
    return Table("rates", "Rates", columns, rows)


def _result(side: Side, result: VictimResult) -> list[Cell]:
    href = trials_of(side)
    marker, color = look(side.attack)
    drop = result.clean_accuracy - result.twin_clean_accuracy
    success, twin = result.success, result.twin
    return [
        Cell(f"{side.letter}: {side.attack_title}", href=href, mark=(marker, color)),
        Cell(result.title, words.access(result.access)),
        Cell(rate(success), f"{success.successes} of {success.n}", href),
        Cell("", href=href, bar=Bar(success, twin, color, marker)),
        Cell(span(success), href=href),
        Cell(words.percent(twin.rate), f"{twin.successes} of {twin.n}", href),
        Cell(excess(result.excess), excess_span(result.excess), href),
        Cell(words.percent(result.clean_accuracy), words.points(drop, 2), href),
    ]


def trials_of(side: Side) -> str:
    """The trials of one experiment; of several seeds, the list of them."""
    if len(side.ids) == 1:
        return f"/experiments/{side.ids[0]}#trials"
    return f"/compare/seeds?ids={'.'.join(map(str, side.ids))}"


def pairs(found: Comparison) -> Table:
    columns = [
        Column("pair", "Pair", is_number=False),
        Column("victim", "Victim", is_number=False),
        Column("shared", "Shared setups"),
        Column("both", "Fell to both"),
        Column("first", "Only to the first"),
        Column("second", "Only to the second"),
        Column("p", "McNemar, p"),
    ]
    return Table("pairs", "Pairs on shared setups", columns, [_pair(pair) for pair in found.pairs])


def _pair(pair: Pair) -> list[Cell]:
    victims = " / ".join(dict.fromkeys(pair.victims))
    counts = (pair.shared, pair.both, pair.only_first, pair.only_second)
    p = p_value(pair.p).removeprefix("p ").removeprefix("= ")
    p = f"{p}{stats.MARK * pair.is_sequential}" if pair.shared else words.DASH
    return [
        Cell(f"{pair.first} and {pair.second}"),
        Cell(victims),
        *(Cell(str(count)) for count in counts),
        Cell(p),
    ]


# --- a pivot ---------------------------------------------------------------------------------

VALUES: dict[str, tuple[str, Callable[[Tally], tuple[str, str]]]] = {
    "success": ("success, % ± SE", lambda t: (rate(t.success), f"{t.successes} of {t.n}")),
    "excess": (
        "excess over twin, points", lambda t: (excess(t.excess), excess_span(t.excess)),
    ),
    "twin": ("twin, %", lambda t: (words.percent(t.twin.rate), f"{t.twins} of {t.n}")),
    "clean": ("clean accuracy, %", lambda t: (words.percent(t.clean_accuracy), f"n = {t.n}")),
    "drop": (
        "clean accuracy against twin, points",
        lambda t: (words.points(t.clean_accuracy - t.twin_clean_accuracy, 2), f"n = {t.n}"),
    ),
}  # fmt: skip


def records(found: Comparison) -> list[tuple[dict[str, str], VictimResult]]:
    """Every result with the fields of its spec and of its victim, as text. The same spec on two
    sides is one record.
    """
    sides = {side.letter: side for side in found.sides}
    made: dict[str, tuple[dict[str, str], VictimResult]] = {}
    for result in found.results:
        spec = sides[result.side].spec
        victim = spec["victims"][result.victim]
        flat = flatten({name: value for name, value in spec.items() if name != "victims"})
        flat |= flatten(victim, "victim")
        flat |= {"victim": result.title, "access": words.access(result.access)}
        fields = {name: words.knob(value) for name, value in flat.items()}
        identity = digest([spec, sides[result.side].ids if "seed" not in spec else [],
                           result.victim, result.access])  # fmt: skip
        made.setdefault(identity, (fields, result))
    return list(made.values())


def pivot_fields(found: Comparison) -> list[str]:
    """What a pivot's rows and columns may be: fields that take more than one value come first."""
    values: dict[str, set[str]] = {}
    for fields, _ in records(found):
        for name, value in fields.items():
            values.setdefault(name, set()).add(value)
    return sorted(values, key=lambda name: (len(values[name]) == 1, name))


def pivot(found: Comparison, rows: str, columns: str, value: str) -> Table:
    """Counts of all results that share both fields are pooled."""
    title, show = VALUES[value]
    cells: dict[tuple[str, str], Tally] = {}
    for fields, result in records(found):
        place = (fields.get(rows, words.DASH), fields.get(columns, words.DASH))
        there = cells.get(place)
        cells[place] = there + result.tally if there else result.tally
    down = sorted({place[0] for place in cells}, key=_natural)
    across = sorted({place[1] for place in cells}, key=_natural)
    heads = [Column("row", rows, is_number=False)]
    heads += [Column(f"c{at}", name, f"{name}: n") for at, name in enumerate(across)]
    body = []
    for row in down:
        line = [Cell(row)]
        for column in across:
            tally = cells.get((row, column))
            line.append(Cell(*show(tally)) if tally else Cell(words.DASH))
        body.append(line)
    return Table("pivot", f"{rows} by {columns}: {title}", heads, body)


def _natural(text: str) -> tuple[int, float, str]:
    """Numbers by size, before words."""
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text


def named(tables: Sequence[Table], key: str) -> Table | None:
    return next((table for table in tables if table.key == key), None)
