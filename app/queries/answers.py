"""The first line of a page: what came out, in words."""

from collections.abc import Sequence

from app.board_schemas import LeaderboardColumn, LeaderboardRow
from app.queries.titles import ACCESS
from app.schemas import ExperimentSummary, Rate, Stage, VictimSummary

CONTROL = "no_perturbation"


def percent(rate: Rate) -> str:
    return f"{100 * rate.rate:.1f} % ± {100 * rate.standard_error:.1f}"


def of_experiment(
    summary: ExperimentSummary, stages: Sequence[Stage], error: str | None, waits_for: Sequence[str]
) -> str:
    judged = [victim for victim in summary.victims if victim.success]
    if not judged:
        return _before(summary, stages, error, waits_for)
    names = [summary.attack_title] + ["It"] * (len(judged) - 1)
    sentence = " ".join(
        f"{_victim(name, summary.attack, victim)}."
        for name, victim in zip(names, judged, strict=True)
    )
    if summary.state == "done":
        return sentence + _stopped(summary)
    if summary.state in ("cancelled", "failed"):
        return f"{sentence} {_ended(summary, error)}"
    return f"So far: {sentence}" + (" Stopping: narrow enough." if summary.stopped_at else "")


def _victim(name: str, attack: str, victim: VictimSummary) -> str:
    assert victim.success and victim.twin
    who = ACCESS.get(victim.access or "", "")
    if attack == CONTROL:
        return (
            f"Without any perturbation {victim.success.successes} of {victim.success.n} {who} "
            f"victims take the target for the base class ({percent(victim.success)})"
        )
    return (
        f"{name} fools {victim.success.successes} of {victim.success.n} {who} "
        f"victims ({percent(victim.success)}); their clean twins, {victim.twin.successes} of "
        f"{victim.twin.n}"
    )


def _before(
    summary: ExperimentSummary, stages: Sequence[Stage], error: str | None, waits_for: Sequence[str]
) -> str:
    if summary.state in ("failed", "cancelled"):
        return _ended(summary, error)
    if waits_for:
        return f"Nothing is judged yet: it waits for {' and '.join(waits_for)} to be trained."
    if summary.state == "queued":
        return f"Nothing is judged yet: {summary.trials_total} trials are queued."
    busy = next((stage for stage in stages if stage.state == "running"), None)
    doing = {"craft": "poisons are being crafted", "victims": "victims are being trained"}
    return f"Nothing is judged yet: {doing.get(busy.name if busy else '', 'work has begun')}."


def _stopped(summary: ExperimentSummary) -> str:
    """That it stopped early, where it did; a trial under way then may have been its last."""
    if summary.stopped_at is None or summary.trials_done == summary.trials_total:
        return ""
    width = 100 * (summary.stop_width or 0)
    done, intervals = summary.trials_done, "interval" if len(summary.victims) == 1 else "intervals"
    return (
        f" Stopped after {done} of {summary.trials_total} trials: {intervals} narrower than "
        f"{width:g} points."
    )


def _ended(summary: ExperimentSummary, error: str | None) -> str:
    done = f"{summary.trials_done} of {summary.trials_total} trials"
    if summary.state == "cancelled":
        return f"Cancelled after {done}."
    return f"Failed after {done}: {error or 'see the log'}"


def of_board(columns: Sequence[LeaderboardColumn], rows: Sequence[LeaderboardRow]) -> str:
    """Who wins each kind of access, and who can be told from its twins at all."""
    sentences = []
    seen: set[str] = set()
    for position, column in enumerate(columns):
        if column.access in seen:
            continue
        seen.add(column.access)
        sentences.append(_column(ACCESS.get(column.access, column.access), position, rows))
    return " ".join(sentence for sentence in sentences if sentence)


def _column(who: str, position: int, rows: Sequence[LeaderboardRow]) -> str:
    measured = [
        (row, cell)
        for row in rows
        if row.attack != CONTROL and (cell := row.cells[position]) is not None
    ]
    if not measured:
        return ""
    measured = [pair for pair in measured if pair[0].is_ranked] or measured
    works = [(row, cell) for row, cell in measured if cell.excess.low > 0]
    if not works:
        return f"Against {who} victims no attack here can be told from chance."
    # by the lower limit, so that a few lucky trials do not lead
    best, cell = max(works, key=lambda pair: pair[1].success.low)
    sentence = (
        f"{best.title} fools {cell.success.successes} of {cell.success.n} {who} victims "
        f"({percent(cell.success)}); their clean twins, {cell.twin.successes} of {cell.twin.n}"
    )
    others = [row.title for row, _ in works if row.title != best.title]
    if all(row.title == best.title for row, _ in measured):
        return sentence + "."
    if not others:
        return sentence + "; no other attack here can be told from chance."
    return sentence + f"; {', '.join(dict.fromkeys(others))} can also be told from chance."
