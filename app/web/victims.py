"""One victim on the launch form: its regime, what the regime asks, and how it is trained."""

from dataclasses import dataclass

from app.web import forms
from app.web.forms import Field, Options, Values, last
from poisoning import catalog
from poisoning.victim_params import RECIPES, Recipe

DEFAULT_REGIME = "frozen"
HELP = {
    "frozen": "The extractor stays as it is; a new last layer is trained on the poisoned set.",
    "end_to_end": "The whole pretrained network goes on training on the poisoned set.",
    "from_scratch": "A network is trained from random weights on the poisoned set.",
}
Errors = dict[str, str]


@dataclass
class Victim:
    """The inputs of one victim."""

    index: int
    regime: Field
    plain: list[Field]
    preset: Field
    recipe: list[Field]

    @property
    def is_open(self) -> bool:
        """Whether its recipe has something to see: a knob unlike its preset's, or an error."""
        return any(item.is_changed or item.error for item in self.recipe)


def draw(
    index: int, values: Values, errors: Errors, checkpoints: Options, models: Options
) -> Victim:
    """The inputs of victim ``index``, from what was typed and what there is to choose from."""
    prefix = f"victims.{index}."
    chosen = last(values, f"{prefix}regime", DEFAULT_REGIME)
    row = catalog.REGIMES.get(chosen, catalog.REGIMES[DEFAULT_REGIME])
    regime = Field(
        f"{prefix}regime", "Regime", "choice", help=HELP[row.name], value=chosen,
        options=[(r.name, f"{r.title} ({r.short})") for r in catalog.REGIMES.values()],
        error=errors.get(f"{prefix}regime"),
    )  # fmt: skip
    preset = preset_of(values, prefix, row)
    first = {"checkpoint": checkpoints[0][0]} if checkpoints else {}
    return Victim(
        index,
        regime,
        forms.fields(
            row.params, prefix, values, errors, defaults=first,
            options={"checkpoint": checkpoints, "model": models},
        ),
        Field(
            f"{prefix}preset", "Recipe", "choice", value=preset,
            help="Fills in the knobs below, which can then be varied.",
            options=[(name, known.title) for name, known in RECIPES.items()],
        ),
        forms.fields(
            Recipe, f"{prefix}recipe.", values, errors,
            defaults=RECIPES[preset].recipe.model_dump(mode="json"),
        ),
    )  # fmt: skip


def preset_of(values: Values, prefix: str, regime: catalog.Regime) -> str:
    """The named recipe the knobs start from: the one chosen, the one they are, the regime's."""
    sent = last(values, f"{prefix}preset")
    if sent in RECIPES:
        return sent
    usual = regime.params.model_fields["recipe"].default
    for wanted in (_typed(values, prefix), _flat(usual, prefix)):
        for name, known in RECIPES.items():
            if _flat(known.recipe, prefix) == wanted:
                return name
    return next(iter(RECIPES))


def _typed(values: Values, prefix: str) -> Values:
    return {name: v for name, v in values.items() if name.startswith(f"{prefix}recipe.")}


def _flat(recipe: Recipe, prefix: str) -> Values:
    return forms.flatten(recipe.model_dump(mode="json"), f"{prefix}recipe.")
