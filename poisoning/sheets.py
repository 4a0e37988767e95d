"""What follows from a bundle's outcomes: one flat table of them all, and the tables of rates.

Written with a bundle and made again when it is checked: both must be the same bytes.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from poisoning import stats
from poisoning.naming import victim_name
from poisoning.results import Results, Tally
from poisoning.spec import FieldError, checkpoint_of
from poisoning.studies import STUDIES
from poisoning.tables import Table, inert, to_csv, to_markdown

if TYPE_CHECKING:
    from poisoning.bundle import Bundle, ExperimentRow, OutcomeRow, TrialRow

JUDGED = ("prediction", "confidence", "margin", "clean_accuracy")
RATES = "tables/rates"


def outcomes(bundle: Bundle) -> str:
    """One line per outcome, tidy: what was asked, what came out, under what it was made."""
    experiments = {one.id: one for one in bundle.experiments}
    trials = {(one.experiment, one.trial): one for one in bundle.trials}
    out = io.StringIO()
    writer: csv.DictWriter[str] | None = None
    for row in bundle.outcomes:
        trial, experiment = trials[row.experiment, row.trial], experiments[row.experiment]
        line = {
            **_asked(experiment, trial, row),
            **_came_out(trial, row),
            "craft_provenance": trial.provenance,
            "provenance": row.provenance,
            **made_under(bundle.provenances.get(row.provenance or "", {})),
        }
        if writer is None:
            writer = csv.DictWriter(out, line.keys(), lineterminator="\n")
            writer.writeheader()
        writer.writerow({k: inert(v) if isinstance(v, str) else v for k, v in line.items()})
    return out.getvalue()


def _asked(experiment: ExperimentRow, trial: TrialRow, row: OutcomeRow) -> dict[str, Any]:
    spec = experiment.spec
    victim = spec.victims[row.victim]
    drawn = row.extras.checkpoint
    return {
        "experiment": experiment.id,
        "title": experiment.title,
        "attack": spec.attack.name,
        "eps_255": getattr(spec.attack, "eps_255", None),
        "dataset": spec.data.dataset,
        "train_size": spec.data.train_size,
        "poisons": spec.data.poisons,
        "profile": spec.profile,
        "precision": spec.precision,
        "seed": spec.seed,
        "spec_hash": experiment.spec_hash,
        "trial": trial.trial,
        "target_class": trial.setup.target_class,
        "target_index": trial.setup.target_index,
        "base_class": trial.setup.base_class,
        "victim": row.victim,
        "victim_name": victim_name(victim),
        "regime": victim.regime,
        "checkpoint": drawn or checkpoint_of(victim),
        "access": row.access,
    }


def _came_out(trial: TrialRow, row: OutcomeRow) -> dict[str, Any]:
    return {
        "success": int(row.success),
        **{name: getattr(row.poisoned, name) for name in JUDGED},
        "twin_success": int(row.twin_success),
        **{f"twin_{name}": getattr(row.twin, name) for name in JUDGED},
        "clean_images": row.clean_images,
        "linf_255": trial.linf_255,
        "mean_l2": trial.mean_l2,
        "ssim": trial.ssim,
        "final_loss": trial.final_loss,
        "craft_seconds": trial.craft_seconds,
        "craft_device_seconds": trial.craft_device_seconds,
        "seconds": row.seconds,
        "device_seconds": row.device_seconds,
        "poison_set": trial.poison_set,
        "craft_hash": trial.craft_hash,
        "outcome_hash": row.outcome_hash,
    }


def made_under(data: dict[str, Any]) -> dict[str, Any]:
    """A provenance as plain columns; empty where it does not say."""
    program, versions = _part(data, "program"), _part(data, "versions")
    return {
        "dosimeter": program.get("version"),
        "commit": program.get("commit"),
        "is_dirty": program.get("is_dirty"),
        "python": versions.get("python"),
        "torch": versions.get("torch"),
        "numpy": versions.get("numpy"),
        "hardware": data.get("hardware"),
        "device": data.get("device"),
        "threads": data.get("threads"),
        "computes": _part(data, "precision").get("computes"),
        "dataset_md5": _part(data, "dataset").get("md5"),
    }


def _part(data: dict[str, Any], name: str) -> dict[str, Any]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}


# --- rates ------------------------------------------------------------------------------------


def tables(name: str | None, profile: str | None, found: Sequence[Results]) -> dict[str, bytes]:
    """The rates of every experiment and victim, and a known study's own tables; as CSV and
    Markdown, by the names of their members.
    """
    made = {RATES: rates(found)}
    for number, table in enumerate(_of_study(name, profile, found), 1):
        slug = re.sub(r"[^a-z0-9]+", "-", table.title.lower()).strip("-")[:60]
        made[f"tables/{number}-{slug}"] = table
    forms = {"csv": to_csv, "md": to_markdown}
    return {
        f"{key}.{suffix}": form(table).encode()
        for key, table in made.items()
        for suffix, form in forms.items()
    }


def _of_study(name: str | None, profile: str | None, found: Sequence[Results]) -> list[Table]:
    if name not in STUDIES:
        return []
    try:
        return STUDIES[name].tables(found, profile)  # type: ignore[arg-type]
    except (FieldError, ValueError):  # run by an earlier version, with other experiments
        return []


HEADER = (
    "experiment", "victim", "access", "n", "successes", "success %", "95 % interval",
    "twin successes", "twin %", "clean %", "twin clean %",
)  # fmt: skip


def rates(found: Sequence[Results]) -> Table:
    lines = [
        _line(results.title, tally)
        for results in found
        if results.trials
        for tally in results.tallies()
    ]
    is_marked = any(results.is_sequential and results.trials for results in found)
    notes = (stats.SEQUENCE_NOTE,) if is_marked else ()
    return Table("Rates", HEADER, tuple(lines), notes=notes)


def _line(title: str, tally: Tally) -> tuple[str, ...]:
    n = tally.n
    twin_clean = sum(outcome.twin.clean_accuracy for outcome in tally.outcomes) / n
    return (
        title,
        tally.victim,
        ", ".join(sorted({outcome.access.replace("_", " ") for outcome in tally.outcomes})),
        str(n),
        str(tally.successes),
        f"{100 * tally.successes / n:.1f}",
        tally.interval.in_words(),
        str(tally.twin_successes),
        f"{100 * tally.twin_successes / n:.1f}",
        f"{100 * tally.clean_accuracy:.2f}",
        f"{100 * twin_clean:.2f}",
    )
