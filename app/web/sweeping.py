"""The launch form's section that sweeps one field: its inputs, and the request it makes."""

from dataclasses import dataclass

from pydantic import ValidationError

from app.errors import FieldProblem, Invalid, invalid
from app.requests import SweepRequest
from app.sweep_schemas import SweepDetail
from app.web import forms
from app.web.forms import Field, Options, Values, last
from poisoning.dose import words
from poisoning.spec import ExperimentSpec

PREFIX = "sweep."
DESIGNS: Options = [
    ("grid", "grid: every value gets all trials"),
    ("adaptive", "adaptive: go where the curve asks for it"),
]
ONE: Options = [("", "nothing: one experiment")]
FIELDS: Options = [(name, title) for name, title in words.FIELDS.items()]


@dataclass
class Sweeping:
    """What was typed into the section; it is in use once something was."""

    values: Values
    errors: dict[str, str]

    @property
    def is_used(self) -> bool:
        """Also where the field was forgotten: values alone are a mistake to hear of."""
        typed = ("field", "values", "budget")
        return any(last(self.values, f"{PREFIX}{name}").strip() for name in typed)

    @property
    def fields(self) -> list[Field]:
        made = [
            Field(f"{PREFIX}field", "Sweep", "choice", options=ONE + FIELDS,
                  help="What is varied; everything else stays as it is above."),
            Field(f"{PREFIX}values", "Values", "text",
                  help="With commas between them, e.g. 1, 2, 5, 10, 20."),
            Field(f"{PREFIX}design", "Design", "choice", default="grid", options=DESIGNS,
                  help="Adaptive needs fewer trials to find the dose half of the targets fall to."),
            Field(f"{PREFIX}budget", "Trials in all", "integer",
                  help="Of the adaptive design only; each of its steps takes the trials above."),
        ]  # fmt: skip
        for item in made:
            item.value = last(self.values, item.name, item.default)
            item.error = self.errors.get(item.name)
        return made

    def request(self, spec: ExperimentSpec) -> SweepRequest:
        """The sweep of ``spec``; Invalid under the request's field names."""
        if not last(self.values, f"{PREFIX}field"):
            raise Invalid.field("field", "is not chosen", "choose one, or clear the values below")
        numbers = last(self.values, f"{PREFIX}values").replace(",", " ").replace(";", " ").split()
        typed = {
            "spec": spec,
            "field": last(self.values, f"{PREFIX}field"),
            "values": numbers,
            "design": last(self.values, f"{PREFIX}design", "grid") or "grid",
            "budget": last(self.values, f"{PREFIX}budget").strip() or None,
            "title": last(self.values, "title"),
            "notes": last(self.values, "notes"),
            "tags": [tag.strip() for tag in last(self.values, "tags").split(",") if tag.strip()],
        }
        try:
            return SweepRequest.model_validate(typed)
        except ValidationError as problem:
            raise invalid(problem, SweepRequest) from None


OWN = ("field", "values", "design", "budget")


def placed(problems: list[FieldProblem]) -> list[FieldProblem]:
    """A request's errors under the names of the form's inputs; of several values, the list's."""
    found = []
    for problem in problems:
        name = problem.field.partition(".")[0]
        if name not in OWN:
            found.append(problem)
            continue
        message = problem.message
        if problem.field != name:  # one of the values
            message = f"value {int(problem.field.partition('.')[2]) + 1} {message}"
        found.append(problem.model_copy(update={"field": f"{PREFIX}{name}", "message": message}))
    return found


def values_of_sweep(item: SweepDetail) -> Values:
    """The section as this sweep would have filled it."""
    return {
        f"{PREFIX}field": [item.field],
        f"{PREFIX}values": [forms.typed(item.values)],
        f"{PREFIX}design": [item.design],
        f"{PREFIX}budget": [forms.typed(item.budget)],
    }
