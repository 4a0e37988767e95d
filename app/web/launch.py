"""The launch form: its state, the inputs drawn from it, the spec it makes."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from app.errors import FieldProblem, invalid
from app.web import forms, words
from app.web.forms import Field, Options, Values
from poisoning import catalog
from poisoning.params import FrozenVictim, Recipe
from poisoning.spec import BENCHMARK_SETUPS, DataSpec, ExperimentSpec

DEFAULT_ATTACK = "bullseye_polytope"
DEFAULT_DATASET = "digits_5_9"
MAX_VICTIMS = 16


@dataclass
class Victim:
    """The inputs of one victim: what it is, and how it is trained."""

    index: int
    plain: list[Field]
    recipe: list[Field]

    @property
    def is_changed(self) -> bool:
        return any(item.is_changed or item.error for item in self.recipe)


@dataclass
class LaunchForm:
    """Everything the form shows; ``errors`` maps dotted names to messages."""

    values: Values
    checkpoints: Options
    ready: frozenset[str]
    errors: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        name = forms.last(self.values, "attack.name", DEFAULT_ATTACK)
        self.attack = catalog.ATTACKS.get(name, catalog.ATTACKS[DEFAULT_ATTACK])
        name = forms.last(self.values, "data.dataset", DEFAULT_DATASET)
        self.dataset = catalog.DATASETS.get(name, catalog.DATASETS[DEFAULT_DATASET])
        self.surrogates = [name for name in self.values.get("surrogates", []) if name]

    # --- what is drawn --------------------------------------------------------------------

    @property
    def heading(self) -> list[Field]:
        title = Field("title", "Title", "text", help="How it is called in lists; free text.")
        title.value = forms.last(self.values, "title")
        title.error = self.errors.get("title")
        return [title]

    @property
    def attack_name(self) -> Field:
        chosen = forms.last(self.values, "attack.name", self.attack.name)
        return Field(
            "attack.name", "Attack", "choice", value=chosen,
            options=forms.choice(catalog.ATTACKS), error=self.errors.get("attack.name"),
        )  # fmt: skip

    @property
    def knobs(self) -> list[Field]:
        return forms.fields(self.attack.params, "attack.", self.values, self.errors)

    @property
    def dataset_name(self) -> Field:
        chosen = forms.last(self.values, "data.dataset", self.dataset.name)
        size = f"{len(self.dataset.classes)} classes, {self.dataset.image_size} px"
        need = "needs the files in the data folder" if self.dataset.folder else "needs no download"
        return Field(
            "data.dataset", "Data set", "choice", help=f"{size}; {need}.", value=chosen,
            options=forms.choice(catalog.DATASETS), error=self.errors.get("data.dataset"),
        )  # fmt: skip

    @property
    def data(self) -> list[Field]:
        known = catalog.DATASETS[self.dataset.name]
        classes = [("", "any"), *((name, name) for name in known.classes)]
        lists = [name for name in BENCHMARK_SETUPS if name.startswith(known.name)]
        defaults = DataSpec.model_fields
        return forms.fields(
            DataSpec,
            "data.",
            self.values,
            self.errors,
            only=set(defaults) - {"dataset"},
            defaults={
                "train_size": known.default_train_size or defaults["train_size"].default,
                "poisons": known.default_poisons or defaults["poisons"].default,
            },
            options={
                "target_class": classes,
                "base_class": classes,
                "setups": [(name, words.SETUPS[name]) for name in ("drawn", *lists)],
            },
        )

    @property
    def victims(self) -> list[Victim]:
        return [self._victim(index) for index in range(self.victim_count)]

    @property
    def victim_count(self) -> int:
        indices = [
            int(name.split(".")[1])
            for name in self.values
            if name.startswith("victims.") and name.split(".")[1].isdigit()
        ]
        return min(max(indices, default=0) + 1, MAX_VICTIMS)

    def _victim(self, index: int) -> Victim:
        prefix = f"victims.{index}."
        first = self.checkpoints[0][0] if self.checkpoints else ""
        return Victim(
            index,
            forms.fields(
                FrozenVictim, prefix, self.values, self.errors, only=("checkpoint", "label"),
                defaults={"checkpoint": first}, options={"checkpoint": self.checkpoints},
            ),
            forms.fields(Recipe, f"{prefix}recipe.", self.values, self.errors),
        )  # fmt: skip

    @property
    def run(self) -> list[Field]:
        return forms.fields(
            ExperimentSpec, "", self.values, self.errors,
            only=("trials", "seed", "profile", "precision"),
            options={"precision": forms.PRECISIONS},
        )  # fmt: skip

    @property
    def surrogates_there(self) -> Options:
        """Those one can craft on at once, and whatever is ticked."""
        return [row for row in self.checkpoints if row[0] in self.ready | set(self.surrogates)]

    @property
    def surrogates_not_there(self) -> Options:
        shown = self.surrogates_there
        return [row for row in self.checkpoints if row not in shown]

    @property
    def needs_surrogates(self) -> bool:
        return self.attack.needs != "nothing"

    # --- what it means ----------------------------------------------------------------------

    def raw(self) -> dict[str, Any]:
        """The spec as typed, not yet validated; unknown names go in as they are."""
        tree = forms.nest([*self.knobs, self.dataset_name, *self.data, *self.run])
        tree["attack"] = tree.get("attack", {}) | {"name": self.attack_name.value}
        tree["surrogates"] = self.surrogates if self.needs_surrogates else []
        victims = []
        for victim in self.victims:
            nested = forms.nest([*victim.plain, *victim.recipe])
            chosen = forms.last(self.values, f"victims.{victim.index}.regime", "frozen")
            victims.append({"regime": chosen} | nested["victims"][str(victim.index)])
        tree["victims"] = victims
        return tree

    def validate(self) -> ExperimentSpec | None:
        """The spec, or None with ``errors`` filled in; what was typed stays as it is."""
        try:
            return ExperimentSpec.model_validate(self.raw())
        except ValidationError as problem:
            self.refuse(invalid(problem, ExperimentSpec).errors)
        return None

    def refuse(self, problems: Iterable[FieldProblem]) -> None:
        """Write errors beside their fields; those of a whole victim beside its checkpoint."""
        for name, message in forms.sentences(problems).items():
            whole = re.fullmatch(r"victims(\.\d+)?", name)
            where = f"victims{whole[1] or '.0'}.checkpoint" if whole else name
            where = "surrogates" if where.startswith("surrogates.") else where.removeprefix("spec.")
            self.errors.setdefault(where, message)


def settle(values: Values) -> Values:
    """Drop what no longer belongs: the knobs of another attack, the counts of another data set.

    The budget stays, because it is what one holds equal when comparing attacks.
    """
    if _switched(values, "attack.shown", "attack.name"):
        keep = {"attack.name", "attack.eps_255"}
        values = _without(values, "attack.", keep)
    if _switched(values, "data.shown", "data.dataset"):
        values = _without(values, "data.", {"data.dataset", "data.normalize"})
    action = forms.last(values, "do")
    if action == "add-victim":
        values = _add_victim(values)
    elif action.startswith("remove-victim-"):
        values = _remove_victim(values, action.rpartition("-")[2])
    return values


def _switched(values: Values, shown: str, chosen: str) -> bool:
    return shown in values and forms.last(values, shown) != forms.last(values, chosen)


def _without(values: Values, prefix: str, keep: set[str]) -> Values:
    return {k: v for k, v in values.items() if not k.startswith(prefix) or k in keep}


def _victim_names(values: Values, index: int) -> list[str]:
    return [name for name in values if name.startswith(f"victims.{index}.")]


def _add_victim(values: Values) -> Values:
    count = 0
    while _victim_names(values, count):
        count += 1
    if not 0 < count < MAX_VICTIMS:
        return values
    copied = {
        name.replace(f"victims.{count - 1}.", f"victims.{count}.", 1): list(values[name])
        for name in _victim_names(values, count - 1)
    }
    return values | copied | {f"victims.{count}.label": [""]}


def _remove_victim(values: Values, index: str) -> Values:
    if not index.isdigit() or not _victim_names(values, 1):
        return values
    gone = int(index)
    kept: Values = {}
    for name, typed in values.items():
        head, _, rest = name.partition(".")
        number, _, knob = rest.partition(".")
        if head != "victims" or not number.isdigit():
            kept[name] = typed
        elif int(number) != gone:
            moved = int(number) - (int(number) > gone)
            kept[f"victims.{moved}.{knob}"] = typed
    return kept
