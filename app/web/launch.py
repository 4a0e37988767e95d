"""The launch form: its state, the inputs drawn from it, the spec it makes."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from app.errors import FieldProblem, Invalid, invalid
from app.requests import NARROWEST, WIDEST
from app.web import forms, patches, victims, words
from app.web.forms import SEVERAL, Field, Options, Values
from app.web.patches import Patch
from app.web.switches import victim_indices
from app.web.victims import Victim
from poisoning import catalog
from poisoning.params import Triggered
from poisoning.spec import BENCHMARK_SETUPS, SAMPLED, DataSpec, ExperimentSpec

DEFAULT_ATTACK = "bullseye_polytope"
DEFAULT_DATASET = "digits_5_9"
DRAWN: Options = [(SAMPLED, "the one its trial draws (sampled)")]


@dataclass(frozen=True)
class Known:
    """A checkpoint one can name: there, in training, or a recipe that is trained first."""

    name: str
    text: str
    dataset: str
    is_ready: bool


@dataclass
class LaunchForm:
    """Everything the form shows; ``errors`` maps dotted names to messages."""

    values: Values
    checkpoints: list[Known]
    errors: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        name = forms.last(self.values, "attack.name", DEFAULT_ATTACK)
        self.attack = catalog.ATTACKS.get(name, catalog.ATTACKS[DEFAULT_ATTACK])
        name = forms.last(self.values, "data.dataset", DEFAULT_DATASET)
        self.dataset = catalog.DATASETS.get(name, catalog.DATASETS[DEFAULT_DATASET])
        self.surrogates, self.sampled_from = (
            [name for name in self.values.get(several, []) if name] for several in SEVERAL
        )

    # --- what is drawn --------------------------------------------------------------------

    @property
    def heading(self) -> list[Field]:
        made = [
            Field("title", "Title", "text", help="How it is called in lists; free text."),
            Field("tags", "Tags", "text", help="To find it by, separated by commas."),
            Field("notes", "Notes", "lines", help="Why it is run, what is expected of it."),
        ]
        for item in made:
            item.value = forms.last(self.values, item.name)
            item.error = self.errors.get(item.name)
        return made

    @property
    def attack_name(self) -> Field:
        chosen = forms.last(self.values, "attack.name", self.attack.name)
        return Field(
            "attack.name", "Attack", "choice", value=chosen,
            options=forms.choice(catalog.ATTACKS), groups=forms.families(catalog.ATTACKS),
            error=self.errors.get("attack.name"),
        )  # fmt: skip

    @property
    def knobs(self) -> list[Field]:
        return forms.fields(self.attack.params, "attack.", self.values, self.errors)

    @property
    def patch(self) -> Patch | None:
        """A backdoor's trigger, as typed, in the colours of the seed that is typed."""
        model = self.attack.params
        if not issubclass(model, Triggered):
            return None
        seed = forms.last(self.values, "seed", "0")
        return patches.draw(model, self.knobs, self.dataset.image_size, seed)

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
        known = self.dataset
        classes = [("", "any"), *((name, name) for name in known.classes)]
        lists = [name for name, belongs_to in BENCHMARK_SETUPS.items() if belongs_to == known.name]
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
        side = self.dataset.image_size
        models = [
            (r.name, r.title) for r in catalog.MODELS.values() if r.image_size in (None, side)
        ]
        fitting = [*self._options(self._fits_victim, self._victims_named), *DRAWN]
        return [
            victims.draw(index, self.values, self.errors, fitting, models)
            for index in range(self.victim_count)
        ]

    @property
    def _victims_named(self) -> list[str]:
        return [
            forms.last(self.values, f"victims.{i}.checkpoint") for i in range(self.victim_count)
        ]

    @property
    def victim_count(self) -> int:
        return max(victim_indices(self.values), default=0) + 1

    @property
    def run(self) -> list[Field]:
        return forms.fields(
            ExperimentSpec, "", self.values, self.errors,
            only=("trials", "seed", "profile", "precision"),
            options={"precision": forms.PRECISIONS},
        )  # fmt: skip

    @property
    def stop(self) -> Field:
        made = Field(
            "stop_points", "Stop when every interval is at most", "number", unit="points wide",
            help="The trials are then the most that are run; intervals are confidence sequences, "
            "which may be looked at after every trial. Empty: run all trials.",
        )  # fmt: skip
        made.value = forms.last(self.values, made.name)
        made.error = self.errors.get(made.name)
        return made

    def stop_width(self, is_sweep: bool = False) -> float | None:
        """As a fraction; Invalid names what was typed."""
        typed = forms.last(self.values, "stop_points").strip()
        if not typed:
            return None
        if is_sweep:
            raise Invalid.field(
                "stop_points", "a sweep runs all of its trials", "clear this, or the sweep"
            )
        try:
            width = float(typed.replace(",", ".")) / 100
        except ValueError:
            width = math.nan
        if not NARROWEST <= width <= WIDEST:
            low, high = 100 * NARROWEST, 100 * WIDEST
            remedy = f"a number from {low:g} to {high:g}; 20 is +-10 points"
            raise Invalid.field("stop_points", "is no width", remedy)
        return width

    # --- which checkpoints fit ------------------------------------------------------------

    @property
    def surrogates_there(self) -> Options:
        """Those one can craft on at once, and whatever is ticked."""
        return self._options(
            lambda known: known.is_ready and self._fits_surrogate(known), self.surrogates
        )

    @property
    def surrogates_not_there(self) -> Options:
        shown = self.surrogates_there
        return [row for row in self._options(self._fits_surrogate) if row not in shown]

    @property
    def surrogates_that_do_not_fit(self) -> int:
        return sum(not self._fits_surrogate(known) for known in self.checkpoints)

    @property
    def drawable(self) -> Options:
        """Those of which each trial may draw one."""
        return self._options(self._fits_victim, self.sampled_from)

    @property
    def needs_surrogates(self) -> bool:
        return self.attack.needs != "nothing"

    @property
    def needs_classifier(self) -> bool:
        return self.attack.needs == "classifier"

    def _options(self, fits: Callable[[Known], bool], named: Iterable[str] = ()) -> Options:
        """What fits, and what was named though it may not, so that nothing typed is lost.

        First those trained on the same kind of images: fetched ones, or those that come along.
        """
        is_fetched = bool(self.dataset.folder)
        found = [known for known in self.checkpoints if fits(known) or known.name in named]
        found.sort(key=lambda known: self._needs_files(known) != is_fetched)
        return [(known.name, known.text) for known in found]

    @staticmethod
    def _needs_files(known: Known) -> bool:
        row = catalog.DATASETS.get(known.dataset)
        return row is None or bool(row.folder)

    def _fits_victim(self, known: Known) -> bool:
        row = catalog.DATASETS.get(known.dataset)
        return row is None or row.image_size == self.dataset.image_size

    def _fits_surrogate(self, known: Known) -> bool:
        row = catalog.DATASETS.get(known.dataset)
        if row is None or not self.needs_classifier:
            return self._fits_victim(known)
        return row.classes == self.dataset.classes

    # --- what it means ----------------------------------------------------------------------

    def raw(self) -> dict[str, Any]:
        """The spec as typed, not yet validated; unknown names go in as they are."""
        tree = forms.nest([*self.knobs, self.dataset_name, *self.data, *self.run])
        tree["attack"] = tree.get("attack", {}) | {"name": self.attack_name.value}
        tree["surrogates"] = self.surrogates if self.needs_surrogates else []
        tree["sampled_from"] = self.sampled_from
        tree["victims"] = [
            forms.nest([victim.regime, *victim.plain, *victim.recipe])["victims"][str(victim.index)]
            for victim in self.victims
        ]
        return tree

    def validate(self) -> ExperimentSpec | None:
        """The spec, or None with ``errors`` filled in; what was typed stays as it is."""
        try:
            return ExperimentSpec.model_validate(self.raw())
        except ValidationError as problem:
            self.refuse(invalid(problem, ExperimentSpec).errors)
        return None

    def refuse(self, problems: Iterable[FieldProblem]) -> None:
        """Write errors beside their fields; those of a whole victim beside its regime."""
        for name, message in forms.sentences(problems).items():
            where = re.sub(r"^(surrogates|sampled_from|tags)\.\d+$", r"\1", name)
            where = re.sub(r"^victims(\.\d+)?$", r"victims\1.regime", where)
            where = where.replace("victims.regime", "victims.0.regime").removeprefix("spec.")
            self.errors.setdefault(where, message)
