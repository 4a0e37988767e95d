"""One field of an experiment at several values. No torch."""

from typing import Literal

from pydantic import ValidationError, field_validator

from poisoning.params import Knobs
from poisoning.spec import ExperimentSpec, FieldError, vary

DoseField = Literal["data.poisons", "data.train_size", "attack.eps_255", "attack.patch_size"]


class Sweep(Knobs):
    """One field of an experiment at several values, everything else as it is."""

    field: DoseField
    values: tuple[float, ...]

    @field_validator("values")
    @classmethod
    def _distinct(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not values or min(values) <= 0:
            raise ValueError("a sweep needs values above 0")
        if len(set(values)) != len(values):
            raise ValueError("a sweep needs different values, none of them twice")
        return tuple(sorted(values))

    def specs(self, spec: ExperimentSpec) -> list[ExperimentSpec]:
        """The experiment at every value, in rising order.

        Raises FieldError with the field that refuses, and the value at which it does.
        """
        return [self._at(spec, value) for value in self.values]

    def doses(self, spec: ExperimentSpec) -> list[float]:
        """What ``fit`` takes, in the order of ``specs``: the values themselves.

        More training images dilute: there the dose is the poisoned fraction of them.
        """
        if self.field == "data.train_size":
            return [spec.data.poisons / value for value in self.values]
        return list(self.values)

    def _at(self, spec: ExperimentSpec, value: float) -> ExperimentSpec:
        try:
            return vary(spec, {self.field: int(value) if value == int(value) else value})
        except KeyError as name:
            raise FieldError(
                self.field, f"{spec.attack.name} has no {name.args[0]}", "sweep another field"
            ) from None
        except ValidationError as error:
            raise self._refused(value, error) from None

    def _refused(self, value: float, error: ValidationError) -> FieldError:
        """The first complaint, under the field that it is about, with the value swept to."""
        first = error.errors()[0]
        inner = first.get("ctx", {}).get("error")
        at = f"at {self.field} = {value:g}: "
        if isinstance(inner, FieldError):
            return FieldError(inner.field, at + inner.message, inner.remedy)
        return FieldError(self.field, at + first["msg"])
